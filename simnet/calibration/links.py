"""The line through all messages between two ranks: what is sent costs, waits and crosses.

With l latency, m cost per message, r rendezvous, s seconds per byte and d how much longer a byte
takes while as many come the other way, in model.md's terms:

    stream    k messages of b bytes, one byte back    (k + 1) m + 2 l + (k b + 1) s
    both      b bytes each way at once                m + r + l + d b s
    late      b bytes for a receiver that comes late  m + r + l + b s

A ping is a stream of one message. Through a token bucket the first bytes after a moment of rest
pass at once: where the measurements show it, so many bytes count as none. That keeps the other
terms right; the model itself has no such burst.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from simnet.calibration.cells import Cell
from simnet.calibration.collectives import Prediction
from traces.errors import InputError
from traces.units import bits

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Relative error that even a perfect measurement is allowed; the model has no more to say.
_MODEL_ERROR = 0.005
#: Below the least time that matters: what is zero has to start somewhere, for logarithms.
_LEAST_S = 1e-9

#: A term that comes down to this part of its first guess is none; logarithms need something.
_ZERO = 1e-9

_LEAST_BURST_BYTES = 512
_STEPS_PER_OCTAVE = 2
_BELIEVED = 10.0  # a burst must make the cost less by this: odds of e^10


class Terms(NamedTuple):
    """The numbers of the line; `duplex_s` is d s."""

    latency_s: float
    message_s: float
    byte_s: float
    ready_s: float
    duplex_s: float


class Solution(NamedTuple):
    """The terms, and what the fit has left of errors (a sum of squares, outliers counting less)."""

    terms: Terms
    cost: float


def weights(cell: Cell, burst_bytes: float = 0.0) -> Terms:
    """How often each term is paid, where so many bytes pass at once."""
    nbytes = max(0.0, cell.messages * cell.nbytes - burst_bytes)
    if cell.kind in ("ping", "stream"):
        return Terms(2, cell.messages + 1, nbytes + 1, 0, 0)
    if cell.kind == "both":
        return Terms(1, 1, 0, 1, nbytes)
    return Terms(1, 1, nbytes, 1, 0)


def numbers(terms: Terms) -> tuple[float, ...]:
    """rate_bps, latency_s, message_s, ready_s and the factor d."""
    latency_s, message_s, byte_s, ready_s, duplex_s = terms
    return bits(1) / byte_s, latency_s, message_s, ready_s, duplex_s / byte_s


def find_burst(cells: Sequence[Cell], times_s: NDArray[np.float64]) -> float:
    """How many bytes pass at once; 0 unless that explains a good part of the errors."""
    largest = max((cell.nbytes for cell in cells if cell.kind == "ping"), default=0)
    steps = int(np.log2(max(largest / _LEAST_BURST_BYTES, 1)) * _STEPS_PER_OCTAVE)
    tried = _LEAST_BURST_BYTES * 2.0 ** (np.arange(steps) / _STEPS_PER_OCTAVE)
    costs = [solve(cells, times_s, burst_bytes=burst_bytes).cost for burst_bytes in tried]
    without = solve(cells, times_s).cost
    if not costs or without - min(costs) < _BELIEVED:
        return 0.0
    return float(tried[int(np.argmin(costs))])


def solve(
    cells: Sequence[Cell],
    times_s: NDArray[np.float64],
    *,
    burst_bytes: float = 0.0,
    start: Terms | None = None,
) -> Solution:
    """The terms that fit best, none below 0: least relative errors, each as far as it is sure.

    Errors beyond their uncertainty count less and less (soft L1), so that neither a stray
    measurement nor a size that the model does not fit draws the line away from the others.
    `start` is a guess, by default from the smallest and the largest ping. Raises InputError unless
    there are pings of two sizes or more.
    """
    from scipy.optimize import least_squares

    if len({cell.nbytes for cell in cells if cell.kind == "ping"}) < 2:
        raise InputError("measurements: a fit needs pings of two sizes or more")
    matrix = np.array([weights(cell, burst_bytes) for cell in cells])
    first = _first_guess(cells, times_s) if start is None else _from_above_zero(start)
    scaled = matrix * first  # terms near 1, whatever their units
    aims = np.log(times_s)
    sure = np.array([1 / math.hypot(_MODEL_ERROR, cell.uncertainty) for cell in cells])

    def errors(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(sure * (np.log(scaled @ x) - aims))

    def slopes(x: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(scaled * (sure / (scaled @ x))[:, None])

    found = least_squares(
        errors,
        np.ones(len(first)),
        jac=slopes,
        bounds=(_ZERO, np.inf),
        method="dogbox",  # at home where terms are 0
        loss="soft_l1",
    )
    values = np.where(found.active_mask < 0, 0.0, found.x) * first
    return Solution(Terms(*values.tolist()), float(found.cost))


def predict(cells: Sequence[Cell], terms: Terms) -> list[Prediction]:
    """Seconds of each, and of its bytes."""
    matrix = np.array([weights(cell) for cell in cells], dtype=np.float64)
    for_bytes = np.array([0, 0, terms.byte_s, 0, terms.duplex_s])
    pairs = zip((matrix @ np.array(terms)).tolist(), (matrix @ for_bytes).tolist(), strict=True)
    return [Prediction(*pair) for pair in pairs]


def _first_guess(cells: Sequence[Cell], times_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """From the smallest and the largest ping; small things are a tenth of a latency."""
    pings = [(c.nbytes, t) for c, t in zip(cells, times_s, strict=True) if c.kind == "ping"]
    latency_s = max(min(pings)[1] / 2, _LEAST_S)
    nbytes, longest_s = max(pings)
    byte_s = longest_s / nbytes
    return np.array([latency_s, latency_s / 10, byte_s, latency_s / 10, byte_s])


def _from_above_zero(start: Terms) -> NDArray[np.float64]:
    """Terms that came out as 0 may grow again."""
    time_s = max(start.latency_s, start.message_s, _LEAST_S) / 10
    return np.maximum(start, [time_s, time_s, start.byte_s, time_s, start.byte_s])
