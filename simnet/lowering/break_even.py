"""Rates of links at which two graphs take equally long: solved, not read off a grid."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from simnet.lowering.batch import dedicated
from simnet.lowering.evaluate import evaluate
from simnet.lowering.simulate import simulate_graph
from simnet.network.collectives.selection import RING, Selection
from simnet.network.topology import Links
from traces.errors import InputError
from traces.summary import summarize

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import ArrayLike, NDArray

    from simnet.lowering.graph import Graph

    Array = NDArray[np.float64]
    Difference = Callable[[Array], Array]

#: Points of a first look, of one where each point takes a discrete-event run or two, and into how
#: many parts an interval is cut at once.
_POINTS, _FEW, _PARTS = 257, 17, 64
#: Relative width of the interval in which a crossing is known to be.
_WIDTH = 1e-9


def break_even(
    graph_a: Graph,
    cost_a: ArrayLike,
    graph_b: Graph,
    cost_b: ArrayLike,
    *,
    low_bps: float,
    high_bps: float,
    latency_s: float = 0.0,
    transfer_share: float | tuple[float, float] = 0.0,
    outside_s: float | tuple[float, float] = 0.0,
    collectives: Selection = RING,
) -> list[float]:
    """Rates in bit/s, from `low_bps` to `high_bps`, at which a becomes faster than b or slower.

    Every rank has a full-duplex link of its own (`simnet.network.topology.Links`). The totals are
    looked at on an even grid of logarithms of the rate, more closely where they come near each
    other, and each change of sign is then narrowed down to 1e-9 of its rate. Points that the
    vectorised evaluator refuses are simulated. `transfer_share` and `outside_s` are as for
    `evaluate`, one for both or one for each.

    Raises InputError unless 0 < low_bps < high_bps < inf, and as `evaluate` does.
    """
    if not 0 < low_bps < high_bps < np.inf:
        raise InputError(
            f"break-even from {low_bps} to {high_bps} bit/s; expected two finite rates above 0, "
            "the lower one first"
        )
    shares, outsides = _both(transfer_share), _both(outside_s)

    def total_s(rates: Array, graph: Graph, costs: Array, which: int) -> tuple[Array, bool]:
        share, outside = shares[which], outsides[which]
        batch = dedicated(rates, latency_s, collectives=collectives)
        found = evaluate(graph, costs, batch, transfer_share=share, outside_s=outside)
        totals = found.total_s.copy()
        for point in np.flatnonzero(found.refused):
            links = Links("links", float(rates[point]), latency_s, collectives=collectives)
            trace = simulate_graph(
                graph, costs.tolist(), links, transfer_share=share, outside_s=outside
            )
            totals[point] = summarize(trace).total_s
        return totals, bool(found.refused.any())

    def difference(rates: Array) -> Array:
        one, _ = total_s(rates, graph_a, np.asarray(cost_a, np.float64), 0)
        other, _ = total_s(rates, graph_b, np.asarray(cost_b, np.float64), 1)
        return one - other

    ends = np.array([low_bps, high_bps])
    _, slow_a = total_s(ends, graph_a, np.asarray(cost_a, np.float64), 0)
    _, slow_b = total_s(ends, graph_b, np.asarray(cost_b, np.float64), 1)
    return _crossings(difference, low_bps, high_bps, _FEW if slow_a or slow_b else _POINTS)


def _both(value: float | tuple[float, float]) -> tuple[float, float]:
    return value if isinstance(value, tuple) else (value, value)


def _crossings(difference: Difference, low: float, high: float, points: int) -> list[float]:
    """Where the difference changes its sign."""
    rates = np.geomspace(low, high, points)
    values = difference(rates)
    near = _near_zero(values)
    if points == _POINTS and len(near):
        closer = np.concatenate([_cut(rates[i - 1], rates[i + 1]) for i in near])
        rates, order = np.unique(np.concatenate([rates, closer]), return_index=True)
        values = np.concatenate([values, difference(closer)])[order]
    found = np.flatnonzero(values)  # where both are as fast, neither becomes faster
    signs = np.sign(values[found])
    turns = np.flatnonzero(signs[1:] != signs[:-1])
    lows, highs = rates[found[turns]], rates[found[turns + 1]]
    if not len(turns):
        return []
    parts = _PARTS if points == _POINTS else 1
    while (highs > lows * (1 + _WIDTH)).any():
        lows, highs = _narrowed(difference, lows, highs, signs[turns], parts)
    return [float(rate) for rate in np.sqrt(lows * highs)]


def _near_zero(values: Array) -> NDArray[np.int64]:
    """Where the difference comes nearer to zero and goes away again, without a change of sign."""
    size, sign = np.abs(values), np.sign(values)
    inner = size[1:-1]
    lowest = (inner <= size[:-2]) & (inner <= size[2:]) & (inner > 0)
    alike = (sign[1:-1] == sign[:-2]) & (sign[1:-1] == sign[2:])
    return np.flatnonzero(lowest & alike) + 1


def _narrowed(
    difference: Difference, lows: Array, highs: Array, before: Array, parts: int
) -> tuple[Array, Array]:
    """Each interval's part in which the sign changes; `before` is the sign at its lower end."""
    cuts = np.array([_cut(low, high, parts) for low, high in zip(lows, highs, strict=True)])
    signs = np.sign(difference(cuts.ravel())).reshape(cuts.shape)
    turned = signs != before[:, None]
    first = np.where(turned.any(axis=1), turned.argmax(axis=1), cuts.shape[1])
    ends = np.column_stack([lows, cuts, highs])
    places = np.arange(len(lows))
    return ends[places, first], ends[places, first + 1]


def _cut(low: float, high: float, parts: int = _PARTS) -> Array:
    """Points that cut an interval into one more part than they are."""
    return np.geomspace(low, high, parts + 2)[1:-1]
