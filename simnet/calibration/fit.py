"""From a table of measurements to the model's numbers: medians, a robust fit, and a bootstrap."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from simnet.calibration import collectives, judge, links
from simnet.calibration.calibration import Calibration, Estimate, Numbers
from simnet.calibration.case import BETWEEN_TWO
from simnet.calibration.cells import Cell, cells
from simnet.calibration.collectives import Prediction
from simnet.calibration.efficiency import Burst, at_rate, reached, stretched
from simnet.calibration.links import Terms
from simnet.network.collectives.selection import GLOO, Selection
from simnet.network.topology import Links
from traces.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

_RESAMPLES = 200
_INTERVAL = (2.5, 97.5)  # percent


def fit(table: pd.DataFrame, selection: Selection = GLOO, *, seed: int = 0) -> Calibration:
    """The links on which the simulator comes nearest to what was measured.

    `table` has the columns of case.COLUMNS; `selection` is how the backend carries collectives;
    `seed` is the bootstrap's, which draws repetitions with replacement. Raises InputError for a
    table that does not tell enough.
    """
    measured = Measured.sorted_out(cells(table))
    fitting = Fitting.of(measured, selection)
    point = fitting.draw(_medians(measured.messages), _medians(measured.collectives))
    rng = np.random.default_rng(seed)
    draws = [
        fitting.draw(_resampled(measured.messages, rng), _resampled(measured.collectives, rng))
        for _ in range(_RESAMPLES)
    ]
    beside = judge.beside(
        [*measured.messages, *measured.collectives],
        fitting.predictions(point),
        np.array([[p.total_s for p in fitting.predictions(draw)] for draw in draws]),
    )
    numbers = np.array([links.numbers(draw.terms) for draw in draws])
    values = links.numbers(point.terms)
    estimates = Numbers(*(_estimate(value, numbers[:, k]) for k, value in enumerate(values)))
    efficiency = {
        kind: _estimate(value, [draw.efficiency[kind] for draw in draws])
        for kind, value in point.efficiency.items()
    }
    return Calibration(
        measured.ranks,
        estimates,
        burst_bytes=fitting.burst_bytes,
        efficiency=efficiency,
        collectives=selection,
        goodness=judge.goodness(beside, fitting.burst_bytes),
        r_squared=judge.r_squared(beside),
        notes=judge.notes(
            beside,
            estimates.duplex,
            efficiency,
            measured.pairs,
            ranks=measured.ranks,
            burst_bytes=fitting.burst_bytes,
        ),
        cells=beside,
    )


class Measured(NamedTuple):
    """Cells by what they are for."""

    messages: list[Cell]  # between the first two ranks
    pairs: list[Cell]  # pings of one size: that pair's, then other neighbours'
    collectives: list[Cell]

    @classmethod
    def sorted_out(cls, everything: Sequence[Cell]) -> Measured:
        """Raises InputError where there are no messages."""
        between = [cell for cell in everything if cell.kind in BETWEEN_TWO]
        if not between:
            raise InputError("measurements: there are no messages between two ranks, such as pings")
        pair = between[0].ranks
        others = [cell for cell in between if cell.ranks != pair]
        sizes = {cell.nbytes for cell in others}
        alike = [c for c in between if c.kind == "ping" and c.ranks == pair and c.nbytes in sizes]
        return cls(
            [cell for cell in between if cell.ranks == pair],
            [*alike, *others],
            [cell for cell in everything if cell.kind not in BETWEEN_TWO],
        )

    @property
    def ranks(self) -> int:
        """How many took part."""
        return 1 + max(rank for part in self for cell in part for rank in cell.ranks)


class Draw(NamedTuple):
    """One outcome of the fit."""

    terms: Terms
    efficiency: dict[str, float]


@dataclass(frozen=True)
class Fitting:
    """The fit around one solution, so that another outcome of the measurements costs little."""

    measured: Measured
    burst_bytes: float
    first: Terms
    whole: list[Prediction]  # of the collectives, with `first` and without efficiencies

    @classmethod
    def of(cls, measured: Measured, selection: Selection) -> Fitting:
        """Around the medians."""
        times_s = _medians(measured.messages)
        burst_bytes = links.find_burst(measured.messages, times_s)
        terms = links.solve(measured.messages, times_s, burst_bytes=burst_bytes).terms
        rate_bps, latency_s, message_s, ready_s, _ = links.numbers(terms)
        network = Links("fitted", rate_bps, latency_s, message_s, ready_s, selection)
        whole = [collectives.predict(cell, network) for cell in measured.collectives]
        return cls(measured, burst_bytes, terms, whole)

    def draw(self, messages_s: NDArray[np.float64], collectives_s: NDArray[np.float64]) -> Draw:
        """The outcome with these times."""
        solution = links.solve(
            self.measured.messages, messages_s, burst_bytes=self.burst_bytes, start=self.first
        )
        whole = self._whole(solution.terms)
        burst = Burst(self.burst_bytes, self.burst_bytes * solution.terms.byte_s)
        efficiency = reached(self.measured.collectives, whole, collectives_s, burst)
        return Draw(solution.terms, efficiency)

    def predictions(self, draw: Draw) -> list[Prediction]:
        """What the outcome says of messages, then of collectives."""
        return [
            *links.predict(self.measured.messages, draw.terms),
            *stretched(self.measured.collectives, self._whole(draw.terms), draw.efficiency),
        ]

    def _whole(self, terms: Terms) -> list[Prediction]:
        return at_rate(self.whole, terms.byte_s / self.first.byte_s)


def _medians(cells: Sequence[Cell]) -> NDArray[np.float64]:
    return np.array([cell.median_s for cell in cells])


def _resampled(cells: Sequence[Cell], rng: np.random.Generator) -> NDArray[np.float64]:
    """Medians of as many repetitions, drawn with replacement."""
    return np.array([np.median(rng.choice(cell.times_s, len(cell.times_s))) for cell in cells])


def _estimate(value: float, draws: Sequence[float] | NDArray[np.float64]) -> Estimate:
    low, high = np.percentile(draws, _INTERVAL)
    return Estimate(value, float(low), float(high))
