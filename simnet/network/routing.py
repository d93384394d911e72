"""Finds the way through a graph: fewest links, then the widest bottleneck, then by name."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple

from simnet.network.link import Link, Switch

#: The links of a message, in order.
Route = tuple[Link, ...]


class Way(NamedTuple):
    """A route so far; the smaller of two that are as long is the better one."""

    minus_bps: float  # less the rate of its bottleneck
    names: tuple[str, ...]
    links: Route


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
        self._reached: dict[str, dict[str, Way]] = {}

    def route(self, start: str, end: str) -> Route | None:
        """From one node to another; None where there is no way."""
        reached = self._reach(start)
        if end in reached:
            return reached[end].links
        lasts = ((link, link.other(end)) for link in self.at.get(end, ()))
        ways = [self._on(reached[node], node, link) for link, node in lasts if node in reached]
        return min(ways, key=lambda way: (len(way.links), way)).links if ways else None

    def _reach(self, start: str) -> Mapping[str, Way]:
        """The best way from here to each node that passes messages on."""
        if start not in self._reached:
            self._reached[start] = best = {start: Way(-math.inf, (), ())}
            layer = [start]
            while layer:
                found = self._next(layer, best)
                best.update(found)
                layer = list(found)
        return self._reached[start]

    def _next(self, layer: Sequence[str], best: Mapping[str, Way]) -> dict[str, Way]:
        found: dict[str, Way] = {}
        for node in layer:
            for link in self.at.get(node, ()):
                other = link.other(node)
                if other in best or other in self.closed:
                    continue
                way = self._on(best[node], node, link)
                if other not in found or way < found[other]:
                    found[other] = way
        return found

    def _on(self, way: Way, node: str, link: Link) -> Way:
        """One link further; the node that passes it on may be the bottleneck."""
        limit_bps = self.limits.get(node, math.inf) if way.links else math.inf
        rate_bps = min(-way.minus_bps, limit_bps, link.payload_bps)
        return Way(-rate_bps, (*way.names, link.name), (*way.links, link))


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
