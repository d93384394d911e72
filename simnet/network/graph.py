"""A machine or a cluster as a graph: ranks sit on nodes, links join nodes, messages have routes."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import KW_ONLY, dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

import simpy

from simnet.network.carriage import Carrier
from simnet.network.collectives.selection import RING, Selection
from simnet.network.link import Link, Switch
from simnet.network.path import Hop, Path
from simnet.network.routing import Route, Routing, Sets, first_cycle
from traces.errors import InputError, unknown

if TYPE_CHECKING:
    from simnet.network.conditions.conditions import Conditions


class ByHand(NamedTuple):
    """A route that somebody chose: between two ranks' nodes, over these links in this order.

    The way back is the same backwards, unless it is given too.
    """

    start: str
    end: str
    links: tuple[str, ...]


@dataclass(frozen=True)
class Graph:
    """Links between nodes; `ranks` are the nodes that the ranks sit on, in order.

    A message takes the route with the fewest links, of these the one with the widest bottleneck,
    of these the first by its links' names, from the lower rank on; ranks do not pass on what is
    for others. A route and its way back are the same. `routes` are those that are not left to
    this rule.

    `staged_through` are nodes of host memory. With any, a message whose route would cross a PCIe
    link goes to the memory nearest to its sender and from there to its receiver, as between GPUs
    that cannot reach each other's memory. `conditions` are kept for whoever simulates; `source`
    says what the numbers are from.

    Raises InputError for a name that is there twice, a node or link that is not there, a switch
    where a rank sits, a route from a node to itself, ranks that cannot reach each other, and PCIe
    links that make a cycle.
    """

    name: str
    ranks: tuple[str, ...]
    links: tuple[Link, ...]
    _: KW_ONLY
    switches: tuple[Switch, ...] = ()
    routes: tuple[ByHand, ...] = ()
    staged_through: tuple[str, ...] = ()
    collectives: Selection = RING
    conditions: Conditions | None = None
    source: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        for complaint in _complaints(self):
            raise InputError(f"network {self.name!r}: {complaint}")

    @property
    def places(self) -> int:
        """How many ranks there is room for."""
        return len(self.ranks)

    @cached_property
    def hops(self) -> dict[str, Hop]:
        """All sides of links, and switches, by name, whether or not any message crosses them."""
        sides = [link.hop(end) for link in self.links for end in link.ends]
        switches = [Hop(switch.name, switch.rate_bps) for switch in self.switches]
        return {hop.name: hop for hop in sides + switches}

    def path(self, src: int, dst: int) -> Path:
        """The way from one rank to another; raises InputError for a rank that has no place."""
        path = self._paths.get((src, dst))
        if path is None:
            path = self._paths[src, dst] = self._along(self.node(src), self.route(src, dst))
        return path

    def node(self, rank: int) -> str:
        """Where a rank sits; raises InputError for one that has no place."""
        if not 0 <= rank < self.places:
            raise InputError(
                f"network {self.name!r} has places for {self.places} ranks, and none for rank "
                f"{rank}; use {self.places} ranks or fewer, or a larger network"
            )
        return self.ranks[rank]

    def route(self, src: int, dst: int) -> Route:
        """The links that a message crosses, in order."""
        start, end = self.node(src), self.node(dst)
        if (start, end) in self._by_hand:
            return self._by_hand[start, end]
        if (end, start) in self._by_hand:
            return self._by_hand[end, start][::-1]
        way = self._routing.route(start, end) if src < dst else self._back(end, start)
        if way is None:
            raise InputError(
                f"network {self.name!r}: there is no way from rank {src} ({start}) to rank {dst} "
                f"({end}), for ranks do not pass on what is for others; add a link or a route"
            )
        if self.staged_through and any(link.pcie for link in way):
            return self._staged(start, end)
        return way

    def traffic(self, env: simpy.Environment) -> Carrier:
        """All links idle."""
        return Carrier(self, env)

    @cached_property
    def _paths(self) -> dict[tuple[int, int], Path]:
        return {}

    @cached_property
    def _routing(self) -> Routing:
        return Routing(self.links, self.switches, self.ranks)

    @cached_property
    def _switches(self) -> dict[str, Switch]:
        return {switch.name: switch for switch in self.switches}

    @cached_property
    def _by_hand(self) -> dict[tuple[str, str], Route]:
        links = {link.name: link for link in self.links}
        return {(r.start, r.end): tuple(links[name] for name in r.links) for r in self.routes}

    def _back(self, start: str, end: str) -> Route | None:
        way = self._routing.route(start, end)
        return None if way is None else way[::-1]

    def _staged(self, start: str, end: str) -> Route:
        """By way of the memory nearest to the sender; of several, nearest to the receiver."""
        ways: list[tuple[int, int, str, Route]] = []
        for memory in self.staged_through:
            there, back = self._routing.route(start, memory), self._back(end, memory)
            if there and back:
                ways.append((len(there), len(back), memory, there + back))
        if not ways:
            raise InputError(
                f"network {self.name!r}: no memory of staged_through "
                f"({', '.join(self.staged_through)}) joins {start!r} and {end!r}; add a link to it"
            )
        return min(ways)[-1]

    def _along(self, start: str, route: Route) -> Path:
        """Every link's and switch's costs, added up."""
        hops: list[Hop] = []
        latency_s, node = 0.0, start
        for place, link in enumerate(route):
            hops.append(link.hop(node))
            node = link.other(node)
            switch = self._switches.get(node)
            if switch and place < len(route) - 1:
                hops.append(Hop(switch.name, switch.rate_bps))
                latency_s += switch.latency_s
        return Path(
            tuple(hops),
            latency_s + sum(link.latency_s for link in route),
            sum(link.message_s for link in route),
            sum(link.ready_s for link in route),
            min((link.flow_bps for link in route), default=math.inf),
            max((link.acks for link in route), default=0.0),
            max((link.queue_bytes for link in route), default=0.0),
        )


def _complaints(graph: Graph) -> Iterator[str]:
    """What is wrong with it; checks stand on those before them."""
    if not graph.ranks:
        yield "there are no ranks; say on which nodes they sit"
    yield from _twice("rank", graph.ranks, "give each rank a node of its own, with a link to it")
    names = [link.name for link in graph.links] + [switch.name for switch in graph.switches]
    yield from _twice("link or switch", names, "choose another name for one")
    yield from _lost_nodes(graph)
    for by_hand in graph.routes:
        yield from _broken(graph, by_hand)
    pcie = [link for link in graph.links if link.pcie]
    cycle = ", ".join(repr(link.name) for link in first_cycle(pcie))
    if cycle:
        yield f"links {cycle} make a cycle, and PCIe links make trees; take one out, or its pcie"
    yield from _unreachable(graph)


def _twice(what: str, names: tuple[str, ...] | list[str], remedy: str) -> Iterator[str]:
    for name, count in Counter(names).items():
        if count > 1:
            yield f"{what} {name!r} is there {count} times; {remedy}"


def _lost_nodes(graph: Graph) -> Iterator[str]:
    nodes = {end for link in graph.links for end in link.ends}
    wanted = [(f"rank {rank} sits on", node) for rank, node in enumerate(graph.ranks)]
    if len(wanted) == 1:
        wanted = []  # it has nobody to talk to
    wanted += [("staged_through names", node) for node in graph.staged_through]
    wanted += [("there is a switch", switch.name) for switch in graph.switches]
    for what, node in wanted:
        if node not in nodes:
            yield f"{what} {node!r}, to which no link leads; add one, or mend the name"
    for switch in graph.switches:
        if switch.name in graph.ranks:
            yield (
                f"there is a switch {switch.name!r} where a rank sits, and ranks pass nothing on; "
                "give it a node of its own"
            )
    for memory in graph.staged_through:
        if memory in graph.ranks:
            yield f"staged_through names {memory!r}, where a rank sits; name a node of host memory"


def _broken(graph: Graph, by_hand: ByHand) -> Iterator[str]:
    """Where a route by hand is no walk from its start to its end."""
    start, end, names = by_hand
    what = f"route from {start!r} to {end!r}"
    for node in (start, end):
        if node not in graph.ranks:
            yield f"{what}: no rank sits on {node!r}; routes are between ranks' nodes"
    if start == end:
        yield f"{what}: no message goes from a rank to itself; name two nodes, or take it out"
    if [route[:2] for route in graph.routes].count((start, end)) > 1:
        yield f"{what} is there twice; take one out"
    links = {link.name: link for link in graph.links}
    node = start
    for name in names:
        if name not in links:
            yield f"{what}: {unknown('link', name, links)}"
        elif node not in links[name].ends:
            joined = " and ".join(map(repr, links[name].ends))
            yield f"{what}: link {name!r} joins {joined}, and the route is at {node!r} there"
        else:
            node = links[name].other(node)
    if node != end:
        yield f"{what} ends at {node!r}; add the links that are missing"


def _unreachable(graph: Graph) -> Iterator[str]:
    """Mostly there are nodes that all ranks can reach; else pair by pair."""
    ranks = frozenset(graph.ranks)
    sets = Sets()
    for link in graph.links:
        if not ranks.intersection(link.ends):
            sets.join(*link.ends)
    reached: dict[str, set[str]] = {rank: set() for rank in graph.ranks}
    for link in graph.links:
        for end in ranks.intersection(link.ends):
            if link.other(end) not in ranks:
                reached[end].add(sets.find(link.other(end)))
    common = set.intersection(*reached.values())
    staged = {sets.find(memory) for memory in graph.staged_through}
    if common and (not staged or common & staged):
        return
    for src in range(graph.places):
        for dst in range(src + 1, graph.places):
            graph.route(src, dst)
    return
    yield
