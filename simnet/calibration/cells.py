"""The table of measurements by what was measured: repetitions side by side."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from simnet.calibration.case import BETWEEN_TWO, COLLECTIVES, COLUMNS
from traces.errors import InputError, unknown

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

# Of a normal distribution, in standard deviations; and how much less sure a median is than a mean.
_QUARTILES_APART = 1.349
_MEDIAN_OVER_MEAN = math.sqrt(math.pi / 2)


@dataclass(frozen=True, slots=True)
class Cell:
    """What was measured, and the seconds of each repetition."""

    kind: str
    ranks: tuple[int, ...]
    nbytes: int
    messages: int
    times_s: NDArray[np.float64]

    @property
    def group(self) -> str:
        """The ranks as the table has them."""
        return ",".join(map(str, self.ranks))

    @property
    def median_s(self) -> float:
        """Half of the repetitions took longer."""
        return float(np.median(self.times_s))

    @property
    def quartiles_s(self) -> tuple[float, float]:
        """Half of the repetitions are between them."""
        low, high = np.quantile(self.times_s, (0.25, 0.75))
        return float(low), float(high)

    @property
    def uncertainty(self) -> float:
        """Standard error of the median, as a part of it; robust against strays."""
        low, high = self.quartiles_s
        deviation = (high - low) / _QUARTILES_APART / self.median_s
        return float(_MEDIAN_OVER_MEAN * deviation / math.sqrt(len(self.times_s)))


def cells(table: pd.DataFrame) -> list[Cell]:
    """One for each kind, group, size and number of messages, in the order of the table.

    Raises InputError for a missing column, an unknown kind, and times or sizes that cannot be.
    """
    for column in COLUMNS:
        if column not in table:
            raise InputError(
                f"measurements: column {column!r} is missing; expected {', '.join(COLUMNS)}"
            )
    for kind in table["kind"].unique():
        if kind not in (*BETWEEN_TWO, *COLLECTIVES):
            raise unknown("measurements: kind", str(kind), (*BETWEEN_TWO, *COLLECTIVES))
    for column in ("seconds", "bytes", "messages"):
        wrong = table[~((table[column] > 0) & (table[column] < math.inf))]
        if len(wrong):
            first = wrong.iloc[0]
            raise InputError(
                f"measurements: {column} of a {first['kind']} of {first['bytes']} bytes is "
                f"{first[column]}, expected above 0 and finite"
            )
    grouped = table.groupby(["kind", "ranks", "bytes", "messages"], sort=False)["seconds"]
    return [_cell(key, times.to_numpy(np.float64)) for key, times in grouped]


def _cell(key: Any, times_s: NDArray[np.float64]) -> Cell:
    kind, ranks, nbytes, messages = key
    group = tuple(map(int, str(ranks).split(",")))
    return Cell(str(kind), group, int(nbytes), int(messages), times_s)
