"""At which bandwidth one plan becomes faster than another: solved for, not read off a grid."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from analysis.plan.curves import Curve, Grid

#: Where crossings are looked for: factors of the network's rates.
AROUND = Grid(0.01, 100.0)
#: A crossing is known to this share of itself.
CLOSE = 1e-4
#: Latencies that differ by no more than this share are the same.
_SAME = 1e-9
_INSIDE, _ROUNDS = 64, 2  # rates inside a bracket, at once, and how often


class Crossing(NamedTuple):
    """From this rate on (a factor of the network's) one plan is faster than the other."""

    slower_links: str  # the faster plan on slower links than that
    faster_links: str  # and on faster ones
    factor: float
    latency_s: float  # of both, there


def crossings(one: Curve, other: Curve, grid: Grid) -> list[Crossing]:
    """All between a grid's ends, in order; none where one is faster throughout."""
    found = []
    for low, high, before in _brackets(one, other, grid):
        factor = _quickly(one, other, low, high)
        if factor is None:
            factor = _one_by_one(one, other, low, high)
        first, then = (one, other) if before < 0 else (other, one)
        found.append(Crossing(first.text, then.text, factor, one.total_s(factor)))
    return found


def _brackets(one: Curve, other: Curve, grid: Grid) -> list[tuple[float, float, float]]:
    """Factors between which another is faster, and the sign of one less the other before."""
    mine, theirs = one.over_s(grid), other.over_s(grid)
    gaps = mine - theirs
    told = np.isfinite(gaps) & (np.abs(gaps) > _SAME * np.nan_to_num(mine))
    factors, signs = grid.factors[told], np.sign(gaps[told])
    turns = np.flatnonzero(signs[:-1] != signs[1:])
    return [(float(factors[n]), float(factors[n + 1]), float(signs[n])) for n in turns]


def _quickly(one: Curve, other: Curve, low: float, high: float) -> float | None:
    """By the graphs of both, many rates at once; None where one of them refuses.

    Between two rates where nothing else becomes the bottleneck, latency is a straight line in the
    time that a bit takes, 1/rate.
    """
    if one.refusing or other.refusing:
        return None
    for _ in range(_ROUNDS):
        inside = np.geomspace(low, high, _INSIDE)
        gaps = one.quickly_s(inside) - other.quickly_s(inside)
        turns = np.flatnonzero(np.sign(gaps[:-1]) != np.sign(gaps[1:]))
        if np.isnan(gaps).any() or not len(turns):
            return None
        here = int(turns[0])
        low, high = float(inside[here]), float(inside[here + 1])
    share = float(gaps[here] / (gaps[here] - gaps[here + 1]))
    each = 1 / inside[here : here + 2]
    return float(1 / (each[0] + share * (each[1] - each[0])))


def _one_by_one(one: Curve, other: Curve, low: float, high: float) -> float:
    """By what either has, where one has to be simulated: Brent's method on 1/rate."""
    from scipy.optimize import brentq

    ends = {1 / low: low, 1 / high: high}  # known already, if asked for by the same factor

    def gap_s(each: float) -> float:
        factor = ends.get(each, 1 / each)
        return one.total_s(factor) - other.total_s(factor)

    return float(1 / brentq(gap_s, 1 / high, 1 / low, xtol=CLOSE / high, rtol=CLOSE))
