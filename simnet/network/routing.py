"""Finds the way through a graph: fewest links, then the widest bottleneck, then by name."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping
from functools import reduce
from typing import NamedTuple

from simnet.network.link import Link, Switch

#: The links of a message, in order.
Route = tuple[Link, ...]


class Reach(NamedTuple):
    """The ways from a start to some node that have the fewest links, all taken together."""

    rate_bps: float  # the bottleneck of the widest
    names: tuple[str, ...]  # the links of the first by name, which may be another one
    links: Route

    def and_by(self, other: Reach) -> Reach:
        """With the ways that are as long by another node or link."""
        first = min(self, other, key=lambda reach: reach.names)
        return first._replace(rate_bps=max(self.rate_bps, other.rate_bps))


class Routing:
    """Routes between nodes. `closed` nodes, the ranks', pass nothing on.

    What was found is kept by where it starts. Neighbouring routes do not share the load of
    parallel links; a route by hand does that.
    """

    def __init__(
        self, links: Iterable[Link], switches: Iterable[Switch], closed: Collection[str]
    ) -> None:
        self.at: dict[str, list[Link]] = {}
        for link in links:
            for end in link.ends:
                self.at.setdefault(end, []).append(link)
        self.limits = {switch.name: switch.rate_bps for switch in switches}
        self.closed = frozenset(closed)
        self._reached: dict[tuple[str, float], dict[str, Reach]] = {}

    def route(self, start: str, end: str) -> Route | None:
        """From one node to another; None where there is no way.

        Two searches: for how wide the widest is, and for the first by name of all as wide. One
        alone will not do: what a narrower beginning loses, the rest of the way may lose anyway.
        """
        widest = self._to(start, end, 0.0)
        found = widest and self._to(start, end, widest.rate_bps)
        return found.links if found else None

    def _to(self, start: str, end: str, least_bps: float) -> Reach | None:
        reached = self._reach(start, least_bps)
        if end in reached:
            return reached[end]
        ways = []
        for link in self.at.get(end, ()):
            node = link.other(end)
            way = self._on(reached[node], node, link, least_bps) if node in reached else None
            if way:
                ways.append(way)
        if not ways:
            return None
        fewest = min(len(way.links) for way in ways)
        return reduce(Reach.and_by, [way for way in ways if len(way.links) == fewest])

    def _reach(self, start: str, least_bps: float) -> Mapping[str, Reach]:
        """Each node that passes messages on, as far as links and switches of this rate go."""
        if (start, least_bps) not in self._reached:
            self._reached[start, least_bps] = reached = {start: Reach(math.inf, (), ())}
            layer = dict(reached)
            while layer:
                layer = self._next(layer, reached, least_bps)
                reached |= layer
        return self._reached[start, least_bps]

    def _next(
        self, layer: Mapping[str, Reach], reached: Collection[str], least_bps: float
    ) -> dict[str, Reach]:
        found: dict[str, Reach] = {}
        for node, reach in layer.items():
            for link in self.at.get(node, ()):
                other = link.other(node)
                if other in reached or other in self.closed:
                    continue
                way = self._on(reach, node, link, least_bps)
                if way:
                    found[other] = found[other].and_by(way) if other in found else way
        return found

    def _on(self, reach: Reach, node: str, link: Link, least_bps: float) -> Reach | None:
        """One link further; None where it, or the node that passes it on, is narrower."""
        limit_bps = self.limits.get(node, math.inf) if reach.links else math.inf
        rate_bps = min(reach.rate_bps, limit_bps, link.payload_bps)
        if rate_bps < least_bps:
            return None
        return Reach(rate_bps, (*reach.names, link.name), (*reach.links, link))


class Sets:
    """Nodes that are joined to each other, directly or by others."""

    def __init__(self) -> None:
        self._head: dict[str, str] = {}

    def find(self, node: str) -> str:
        """One node that stands for all that this one is joined to."""
        head = self._head
        head.setdefault(node, node)
        while head[node] != node:
            head[node] = node = head[head[node]]
        return node

    def join(self, one: str, other: str) -> bool:
        """Join two; whether they were apart."""
        first, second = self.find(one), self.find(other)
        self._head[first] = second
        return first != second


def first_cycle(links: Iterable[Link]) -> Route:
    """The links of a cycle, in order; empty where the links make trees."""
    sets = Sets()
    trees: list[Link] = []
    for link in links:
        if not sets.join(*link.ends):
            way = Routing(trees, (), ()).route(*link.ends)
            return (*(way or ()), link)
        trees.append(link)
    return ()
