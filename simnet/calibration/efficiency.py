"""Which part of the links' rates a collective reaches."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from simnet.calibration.cells import Cell
from simnet.calibration.collectives import Prediction

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Of a prediction, for its bytes: from there on a size tells of rates.
BYTES_DECIDE = 0.5
#: A size must be so many times what a token bucket lets pass at once.
BURSTS = 16
# Of an efficiency: latencies that are no longer there leave no time at all to divide by.
_MOST = 10.0


class Burst(NamedTuple):
    """What passes at once after a rest, and how long it would take otherwise."""

    nbytes: float
    saved_s: float


def is_large(prediction: Prediction, nbytes: float, burst_bytes: float) -> bool:
    """Whether rates decide how long this many bytes take."""
    decided = prediction.bytes_s >= BYTES_DECIDE * prediction.total_s
    return decided and nbytes >= BURSTS * burst_bytes


def reached(
    cells: Sequence[Cell],
    predictions: Sequence[Prediction],
    times_s: NDArray[np.float64],
    burst: Burst,
) -> dict[str, float]:
    """By kind, the median over sizes: what the bytes should take over what is left for them.

    Large sizes tell; where a kind has none, its largest one does. What a burst saved is added.
    """
    found: dict[str, list[tuple[bool, int, float]]] = {}
    for cell, prediction, time_s in zip(cells, predictions, times_s, strict=True):
        left_s = time_s + burst.saved_s - (prediction.total_s - prediction.bytes_s)
        value = prediction.bytes_s / max(left_s, prediction.bytes_s / _MOST)
        large = is_large(prediction, cell.nbytes, burst.nbytes)
        found.setdefault(cell.kind, []).append((large, cell.nbytes, value))
    return {kind: _median(entries) for kind, entries in found.items()}


def stretched(
    cells: Sequence[Cell], predictions: Sequence[Prediction], efficiency: Mapping[str, float]
) -> list[Prediction]:
    """With the bytes divided by the efficiencies, none of which counts as more than 1."""
    longer = []
    for cell, (total_s, bytes_s) in zip(cells, predictions, strict=True):
        more_s = bytes_s / min(1.0, efficiency[cell.kind]) - bytes_s
        longer.append(Prediction(total_s + more_s, bytes_s + more_s))
    return longer


def at_rate(predictions: Sequence[Prediction], slower: float) -> list[Prediction]:
    """With each byte taking so many times as long."""
    return [Prediction(t - b + b * slower, b * slower) for t, b in predictions]


def _median(entries: Sequence[tuple[bool, int, float]]) -> float:
    large = [value for is_large, _, value in entries if is_large]
    return float(np.median(large or [max(entries)[2]]))
