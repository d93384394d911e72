"""From a table of measurements to the model's numbers: times, a robust fit, and a bootstrap."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from simnet.calibration import collectives, judge, links
from simnet.calibration.calibration import Calibration, Estimate, Numbers
from simnet.calibration.case import BETWEEN_TWO
from simnet.calibration.cells import Cell, cells, chances
from simnet.calibration.collectives import Prediction
from simnet.calibration.efficiency import Burst, at_rate, reached, stretched
from simnet.calibration.links import Terms
from simnet.network.collectives.selection import GLOO, Selection
from simnet.network.topology import Links
from traces.errors import InputError

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

_DRAWS = 200
_INTERVAL = (2.5, 97.5)  # percent


def fit(table: pd.DataFrame, selection: Selection = GLOO, *, seed: int = 0) -> Calibration:
    """The links on which the simulator comes nearest to what was measured.

    `table` has the columns of case.COLUMNS; `selection` is how the backend carries collectives;
    `seed` is the bootstrap's, as of `outcomes`. Raises InputError for a table that does not tell
    enough.
    """
    measured = Measured.sorted_out(cells(table))
    point, *draws = outcomes(measured, selection, np.random.default_rng(seed))
    beside = judge.beside(
        [*measured.messages, *measured.collectives],
        point.predictions,
        np.array([[prediction.total_s for prediction in draw.predictions] for draw in draws]),
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
        efficiency=efficiency,
        collectives=selection,
        goodness=judge.goodness(beside, estimates.burst_bytes.value),
        r_squared=judge.r_squared(beside),
        notes=judge.notes(beside, estimates, efficiency, measured.pairs, ranks=measured.ranks),
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


class Outcome(NamedTuple):
    """What comes out of the measurements, or would have come out of others as likely."""

    terms: Terms
    efficiency: dict[str, float]
    predictions: list[Prediction]  # of messages, then of collectives


def outcomes(measured: Measured, selection: Selection, rng: np.random.Generator) -> list[Outcome]:
    """Of the repetitions as they are, then of each draw of them with replacement.

    In a draw some cells of messages also err as far to the other side of the line (a wild
    bootstrap, Wu 1986): where the model does not fit, the terms are less sure than the times.
    """
    drawn = chances(_DRAWS, rng)
    messages_s = _times_s(measured.messages, drawn)
    (point,) = links.solve(measured.messages, messages_s[:1])
    error = messages_s[0] / links.fitted_s(measured.messages, point)
    other_side = rng.integers(2, size=(_DRAWS, len(error))) == 1
    draws = links.solve(measured.messages, messages_s[1:] / np.where(other_side, error**2, 1))
    rate_bps, latency_s, message_s, ready_s, *_ = links.numbers(point)
    network = Links("fitted", rate_bps, latency_s, message_s, ready_s, selection)
    whole = [collectives.predict(cell, network) for cell in measured.collectives]
    collectives_s = _times_s(measured.collectives, drawn)
    return [
        _outcome(measured, line, at_rate(whole, line.byte_s / point.byte_s), times_s)
        for line, times_s in zip([point, *draws], collectives_s, strict=True)
    ]


def _outcome(
    measured: Measured,
    terms: Terms,
    whole: Sequence[Prediction],
    collectives_s: NDArray[np.float64],
) -> Outcome:
    """`whole` is what is predicted of collectives without efficiencies."""
    burst = Burst(terms.burst_bytes, terms.burst_bytes * terms.byte_s)
    efficiency = reached(measured.collectives, whole, collectives_s, burst)
    predictions = links.predict(measured.messages, terms)
    predictions += stretched(measured.collectives, whole, efficiency)
    return Outcome(terms, efficiency, predictions)


def _times_s(cells: Sequence[Cell], drawn: NDArray[np.float64]) -> NDArray[np.float64]:
    """As they are, then of each draw: (1 + draws, cells)."""
    times_s = [np.append(cell.time_s, cell.resampled_s(drawn)) for cell in cells]
    return np.array(times_s).reshape(len(cells), 1 + len(drawn)).T


def _estimate(value: float, draws: Sequence[float] | NDArray[np.float64]) -> Estimate:
    low, high = np.percentile(draws, _INTERVAL)
    return Estimate(value, float(low), float(high))
