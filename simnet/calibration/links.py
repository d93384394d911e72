"""The line through all messages between two ranks: what is sent costs, waits and crosses.

With l latency, m cost per message, r rendezvous, s seconds per byte and d how much longer a byte
takes while as many come the other way, in model.md's terms:

    stream    k messages of b bytes, one byte back    (k + 1) m + 2 l + (k b + 1) s
    both      b bytes each way at once                m + r + l + d b s
    late      b bytes for a receiver that comes late  m + r + l + b s

A ping is a stream of one message. Through a token bucket the first bytes after a moment of rest
pass at once: where the measurements show it, so many bytes count as none. That keeps the other
terms right; whatever the network model has it for, the line of a single message goes without.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from simnet.calibration.cells import Cell
from simnet.calibration.collectives import Prediction
from simnet.calibration.robust import Lines
from traces.errors import InputError
from traces.units import bits

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Relative error that even a perfect measurement is allowed; the model has no more to say.
_MODEL_ERROR = 0.01
#: Below the least time that matters: what is zero has to start somewhere, for logarithms.
_LEAST_S = 1e-9
#: Of the first guess: times may come down to nothing, but bytes take some.
_LEAST = np.array([0, 0, 1e-3, 0, 1e-3])

_LEAST_BURST_BYTES = 512
_STEPS_PER_OCTAVE = 4
_BELIEVED = 5.0  # a burst must make the cost less by this: odds of e^5


class Terms(NamedTuple):
    """The numbers of the line; `duplex_s` is d s, and `burst_bytes` pass at once."""

    latency_s: float
    message_s: float
    byte_s: float
    ready_s: float
    duplex_s: float
    burst_bytes: float


def weights(cell: Cell, burst_bytes: float = 0.0) -> tuple[float, float, float, float, float]:
    """How often each term of time is paid, where so many bytes pass at once."""
    nbytes = max(0.0, cell.messages * cell.nbytes - burst_bytes)
    if cell.kind in ("ping", "stream"):
        return (2, cell.messages + 1, nbytes + 1, 0, 0)
    if cell.kind == "both":
        return (1, 1, 0, 1, nbytes)
    return (1, 1, nbytes, 1, 0)


def numbers(terms: Terms) -> tuple[float, ...]:
    """rate_bps, latency_s, message_s, ready_s, the factor d and burst_bytes."""
    latency_s, message_s, byte_s, ready_s, duplex_s, burst_bytes = terms
    return bits(1) / byte_s, latency_s, message_s, ready_s, duplex_s / byte_s, burst_bytes


def solve(cells: Sequence[Cell], times_s: NDArray[np.float64]) -> list[Terms]:
    """The terms that fit each row of times best: least relative errors, each as far as it is sure.

    `times_s` is (outcomes, cells). Errors beyond a cell's uncertainty count less and less (soft
    L1), so that neither a stray measurement nor a size that the model does not fit draws the line
    away from the others. Each outcome has a burst of its own, none unless that explains a good part
    of its errors. Raises InputError unless there are pings of two sizes or more.
    """
    if len({cell.nbytes for cell in cells if cell.kind == "ping"}) < 2:
        raise InputError("measurements: a fit needs pings of two sizes or more")
    start = _first_guess(cells, times_s[0])
    sure = 1 / np.hypot(_MODEL_ERROR, [cell.uncertainty for cell in cells])
    bursts = [0.0, *_bursts(cells)]
    fits = [
        Lines(_matrix(cells, burst_bytes), sure, start, start * _LEAST).fit(times_s)
        for burst_bytes in bursts
    ]
    costs = np.array([fit.costs for fit in fits])
    costs[0] -= _BELIEVED
    return [
        Terms._make([*fits[best].terms[outcome].tolist(), bursts[best]])
        for outcome, best in enumerate(costs.argmin(axis=0))
    ]


def fitted_s(cells: Sequence[Cell], terms: Terms) -> NDArray[np.float64]:
    """Seconds of each where the burst is there, as while it was measured."""
    return np.asarray(_matrix(cells, terms.burst_bytes) @ terms[:-1])


def predict(cells: Sequence[Cell], terms: Terms) -> list[Prediction]:
    """Seconds of each, and of its bytes; without the burst, which the model has not got."""
    matrix = _matrix(cells, 0.0)
    paid = np.array(terms[:-1])
    for_bytes = paid * [0, 0, 1, 0, 1]
    pairs = zip((matrix @ paid).tolist(), (matrix @ for_bytes).tolist(), strict=True)
    return [Prediction(*pair) for pair in pairs]


def _matrix(cells: Sequence[Cell], burst_bytes: float) -> NDArray[np.float64]:
    return np.array([weights(cell, burst_bytes) for cell in cells], dtype=np.float64)


def _bursts(cells: Sequence[Cell]) -> list[float]:
    """What is tried: a quarter of an octave apart, up to the largest ping."""
    largest = max(cell.nbytes for cell in cells if cell.kind == "ping")
    steps = int(np.log2(max(largest / _LEAST_BURST_BYTES, 1)) * _STEPS_PER_OCTAVE)
    return [_LEAST_BURST_BYTES * 2.0 ** (step / _STEPS_PER_OCTAVE) for step in range(steps)]


def _first_guess(cells: Sequence[Cell], times_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """From the smallest and the largest ping; small things are a tenth of a latency."""
    pings = [(c.nbytes, t) for c, t in zip(cells, times_s, strict=True) if c.kind == "ping"]
    latency_s = max(min(pings)[1] / 2, _LEAST_S)
    nbytes, longest_s = max(pings)
    byte_s = longest_s / nbytes
    return np.array([latency_s, latency_s / 10, byte_s, latency_s / 10, byte_s])
