"""The table of measurements by what was measured: repetitions side by side.

Other work on a host makes a small message wait for whole time slices, a hundred times as long as
it takes. So a cell's time is the median of those repetitions that took no longer than twice the
lower quartile. Where that leaves nothing out, and large messages leave nothing, it is the median.
"""

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

_DELAYED = 2.0  # times the lower quartile
_DRAWS = 200
_RUNS = 6  # of repetitions, in a draw; as many as there are rounds


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
    def time_s(self) -> float:
        """What it takes where nothing else delays it."""
        return float(typical_s(self.times_s))

    @property
    def delayed(self) -> float:
        """Which part of the repetitions something else delayed."""
        return float(np.isnan(_undisturbed_s(self.times_s)).mean())

    @property
    def quartiles_s(self) -> tuple[float, float]:
        """Half of the repetitions that nothing delayed are between them."""
        low, high = np.nanquantile(_undisturbed_s(self.times_s), (0.25, 0.75))
        return float(low), float(high)

    @property
    def uncertainty(self) -> float:
        """Standard error of `time_s`, as a part of it; the same each time."""
        drawn = self.resampled_s(chances(_DRAWS, np.random.default_rng(0)))
        return float(np.log(drawn).std())

    def resampled_s(self, chances: NDArray[np.float64]) -> NDArray[np.float64]:
        """`time_s` of one repetition less, drawn with replacement: (draws,).

        One less, because a few repetitions differ less than all there might be (Rao and Wu 1988).
        Drawn in runs (a circular block bootstrap, Politis and Romano 1992), because what delays one
        of many repetitions is often still there at the next; and for all cells by the same
        `chances`, because it delays them all.
        """
        count = len(self.times_s)
        run = max(1, count // _RUNS)
        drawn = max(1, count - 1)
        first = (chances[:, : math.ceil(drawn / run), None] * count).astype(int)
        places = (first + np.arange(run)).reshape(len(chances), -1)[:, :drawn] % count
        return typical_s(self.times_s[places])


def chances(draws: int, rng: np.random.Generator) -> NDArray[np.float64]:
    """For `Cell.resampled_s`, from 0 to 1: (draws, of runs)."""
    return rng.random((draws, 2 * _RUNS))


def typical_s(times_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Along the last axis, the median of what nothing delayed."""
    return np.asarray(np.nanmedian(_undisturbed_s(times_s), axis=-1))


def _undisturbed_s(times_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """The same, with nan for repetitions that something delayed."""
    quartile_s = np.quantile(times_s, 0.25, axis=-1, keepdims=True)
    return np.where(times_s <= _DELAYED * quartile_s, times_s, np.nan)


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
