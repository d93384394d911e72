"""Who gets how much of the links that flows share: weighted max-min fairness, where it changes.

Bertsekas and Gallager 1992, Data Networks, section 6.5: a division is max-min fair exactly if each
flow has a *bottleneck*, a side of a link that is full and on which no other flow has a higher
*level* (rate over weight). Progressive filling finds it: all levels rise together, and flows stop
where a side fills up.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

import simpy
from simpy.events import PENDING

from simnet.network.tokens import Bucket
from traces.errors import InputError

#: Levels that differ by less than this factor are one: sums in another order round differently.
TIE = 1 + 1e-12


class Side:
    """One direction of a link, or a medium that both directions share; known by identity.

    Raises InputError unless `rate_bps` > 0; it may be infinite. `Fluid.set_rate` changes it.
    With a `bucket`, `rate_bps` is what it carries at the moment.
    """

    __slots__ = (
        "active", "bucket", "contention", "crossings", "flows", "name", "owner", "pull",
        "rate_bps", "room", "round", "weighted",
    )  # fmt: skip

    def __init__(
        self, name: str, rate_bps: float, bucket: Bucket | None = None, contention: float = 0.0
    ) -> None:
        if not rate_bps > 0:
            raise InputError(f"side {name!r}: rate_bps is {rate_bps}, expected > 0")
        self.name = name
        self.rate_bps = rate_bps if bucket is None else bucket.peak_bps
        self.bucket = bucket
        self.contention = contention  # see Hop
        self.owner: object = None  # the Fluid that uses it
        self.flows: dict[Flow, int] = {}  # how often each crosses it
        self.crossings = 0  # the sum of these
        self.weighted = False  # whether a flow with a weight other than 1 ever did
        # Of the filling with number `round`:
        self.round = 0
        self.active = 0  # crossings by flows that have no rate yet
        self.pull = 0.0  # their weight
        self.room = 0.0  # what is left for them, in bit/s

    @property
    def lasting_bps(self) -> float:
        """What it carries for as long as it must."""
        return self.rate_bps if self.bucket is None else self.bucket.rate_bps

    def __repr__(self) -> str:
        return f"Side({self.name!r}, {self.rate_bps})"


class Flow(simpy.Event):
    """Bits on their way over some sides; succeeds when the last one has left.

    `rate_bps` is the rate that it has had since `since_s`; 0 until the end of the instant in which
    it started. `left_bits` were left at `since_s`.
    """

    # Those of simpy.Event too, so that a flow has no dict: there may be many at once.
    __slots__ = (
        "_ok", "_value", "bottleneck", "callbacks", "end_s", "env", "left_bits", "rate_bps",
        "round", "route", "share_bps", "since_s", "weight",
    )  # fmt: skip

    def __init__(
        self, env: simpy.Environment, route: Sequence[Side], nbits: float, weight: float
    ) -> None:
        self.env = env  # all that Event sets, as simpy.Timeout does, for speed
        self.callbacks: list[Any] = []
        self._value = PENDING
        self.route = route
        self.weight = weight
        self.left_bits = nbits
        self.rate_bps = 0.0
        self.since_s = 0.0
        self.end_s = math.inf
        self.bottleneck: Side | None = None
        self.round = 0
        self.share_bps = 0.0  # its rate after the latest filling

    def end(self) -> None:
        """As succeed(), with less ado."""
        self._ok, self._value = True, None
        self.env.schedule(self)


def share(seeds: Iterable[Flow], changed: Iterable[Side], number: int) -> list[Flow]:
    """Fill up to `share_bps` the flows that a change may concern, which are returned.

    They are the seeds, and the flows with a bottleneck on a changed side or on a side that one of
    these flows crosses. The others keep their rate and have their bottleneck elsewhere; where
    filling would leave one of them above a side's new level, it is concerned as well, and filling
    begins anew. In the end each flow has a bottleneck, and so the division is the fair one.
    `number` is higher in each call.
    """
    alone, more = _part_alone(seeds, number)
    sides: list[Side] = []
    flows: list[Flow] = []
    for side in changed:
        if side.flows and side.round != number:
            _open(side, flows, number)
            sides.append(side)
    reached = 0
    while more or len(flows) > reached:
        for flow in more:
            if flow.round != number:
                flow.round = number
                flows.append(flow)
        _reach(flows, sides, reached, number)
        reached = len(flows)
        more = _fill(flows, sides, number)
    return alone + flows


def _part_alone(seeds: Iterable[Flow], number: int) -> tuple[list[Flow], list[Flow]]:
    """Flows that share no side, which get the rate of the slowest one, and the other flows."""
    alone, others = [], []
    for flow in seeds:
        narrow = flow.route[0]
        for side in flow.route:
            if side.crossings > 1:
                others.append(flow)
                break
            if side.rate_bps < narrow.rate_bps:
                narrow = side
        else:
            for side in flow.route:
                side.round = number
            flow.round = number
            flow.bottleneck = narrow
            flow.share_bps = narrow.rate_bps
            alone.append(flow)
    return alone, others


def _open(side: Side, flows: list[Flow], number: int) -> None:
    """Begin with a side: the flows with their bottleneck there are concerned."""
    side.round = number
    side.active = 0
    side.pull = 0.0
    for flow in side.flows:
        if flow.bottleneck is side and flow.round != number:
            flow.round = number
            flows.append(flow)


def _reach(flows: list[Flow], sides: list[Side], first: int, number: int) -> None:
    """Count flows from `first` on, which grow in number, on their sides."""
    for flow in islice(flows, first, None):
        for side in flow.route:
            if side.round != number:
                _open(side, flows, number)
                sides.append(side)
            side.active += 1
            side.pull += flow.weight


def _fill(flows: list[Flow], sides: list[Side], number: int) -> list[Flow]:
    """Give the flows their share; or the other flows that stand in the way of a fair one."""
    crossed, levels, mixed = [], [], []
    for side in sides:
        if side.active:
            room = side.rate_bps
            if side.contention:
                room /= 1 + side.contention * (len(side.flows) - 1)
            if side.active < side.crossings:
                mixed.append(side)
                room = max(0.0, room - _kept(side, number))
            side.room = room
            crossed.append(side)
            levels.append(room / side.pull)
    level = min(levels)
    if max(levels) > level * TIE:
        return _fill_by_levels(flows, crossed, levels, number)
    for flow in flows:  # all sides fill up at once, as in collectives on equal links
        flow.share_bps = level * flow.weight
        flow.bottleneck = flow.route[0]
    return [flow for side in mixed for flow in _above(side, level, number)]


def _kept(side: Side, number: int) -> float:
    """What flows that are not concerned use of a side, in bit/s."""
    kept_bps = 0.0
    for flow, times in side.flows.items():
        if flow.round != number:
            kept_bps += times * flow.rate_bps
    return kept_bps


def _above(side: Side, level: float, number: int) -> list[Flow]:
    """Flows that are not concerned, but have more of this side than what fills it up."""
    limit = level * TIE
    return [
        flow for flow in side.flows if flow.round != number and flow.rate_bps > limit * flow.weight
    ]


def _fill_by_levels(
    flows: list[Flow], sides: list[Side], levels: list[float], number: int
) -> list[Flow]:
    """The general case: the side that fills up first, then the next one."""
    counts = [(side.active, side.pull) for side in sides]
    for flow in flows:
        flow.share_bps = -1.0  # none yet
    heap = list(zip(levels, range(len(sides)), strict=True))
    heapq.heapify(heap)
    above: list[Flow] = []
    while heap and not above:
        level, full = _next(heap, sides, number)
        for side in full:
            if side.active < side.crossings:
                above += _above(side, level, number)
            _freeze(side, level, number)
    for side, (active, pull) in zip(sides, counts, strict=True):
        side.active, side.pull = active, pull
    return above


def _next(
    heap: list[tuple[float, int]], sides: list[Side], number: int
) -> tuple[float, list[Side]]:
    """The sides that fill up next and at which level: all at once that do so at one level.

    A side's level in the heap may be of before some flows on it stopped; it is higher by now.
    """
    lowest = limit = math.inf
    full: list[Side] = []
    while heap and (not full or heap[0][0] <= limit):
        level, index = heapq.heappop(heap)
        side = sides[index]
        if not side.active:
            continue
        pull = _pull(side, number) if side.weighted else side.pull
        now = max(0.0, side.room) / pull
        if now > (limit if full else level):
            heapq.heappush(heap, (now, index))
            continue
        if not full:
            lowest, limit = now, now * TIE
        full.append(side)
    return lowest, full


def _pull(side: Side, number: int) -> float:
    """The weight of the flows that still rise; taking away from a sum may leave only rounding."""
    return sum(
        times * flow.weight
        for flow, times in side.flows.items()
        if flow.share_bps < 0 and flow.round == number
    )


def _freeze(side: Side, level: float, number: int) -> None:
    """A side is full: the flows on it that still rose stop at this level."""
    for flow in side.flows:
        if flow.share_bps < 0 and flow.round == number:
            weight = flow.weight
            flow.share_bps = rate_bps = level * weight
            flow.bottleneck = side
            for crossed in flow.route:
                crossed.active -= 1
                crossed.pull -= weight
                crossed.room -= rate_bps
