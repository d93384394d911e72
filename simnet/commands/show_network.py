"""What `thinwire show-network` says of a network: its links, and the routes between ranks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import groupby
from typing import Any, NamedTuple

from simnet.commands.network_tree import speed, tree
from simnet.commands.output import print_table
from simnet.commands.plain import plain
from simnet.network.graph import Graph
from simnet.network.kinds import kind, places
from simnet.network.link import Link
from simnet.network.machines import as_graph
from simnet.network.path import Path
from simnet.network.topology import Islands, Topology
from traces.errors import InputError
from traces.units import bits, format_bytes, format_rate, format_s

_ALL_PAIRS = 8  # ranks; of more, only rank 0's routes are shown
_ALL_LINKS = 64  # of more, equal ones beside each other are one line


class Way(NamedTuple):
    """Between two ranks: the nodes on the way, the links, and what it costs."""

    src: int
    dst: int
    nodes: tuple[str, ...]
    links: tuple[str, ...]
    path: Path

    @property
    def costs(self) -> tuple[float, ...]:
        """Ways with the same are shown together."""
        path = self.path
        return len(self.links), path.alone_bps, *path[1:]


class Shown:
    """A network for so many ranks, and the routes that somebody wants to see.

    `route` is "0,5" for one of them. Raises InputError for ranks that have no place.
    """

    def __init__(self, network: Topology, ranks: int | None, route: str | None) -> None:
        self.network = network
        self.ranks = _ranks(network, ranks)
        self.graph = as_graph(network, self.ranks)
        self.one = route is not None
        self.pairs = _pairs(self.ranks) if route is None else [_pair(route, self.ranks)]

    def ways(self) -> Iterator[Way]:
        """Of the pairs, in order."""
        for src, dst in self.pairs:
            links = self.graph.route(src, dst)
            nodes = [self.graph.node(src)]
            for link in links:
                nodes.append(link.other(nodes[-1]))
            names = tuple(link.name for link in links)
            yield Way(src, dst, tuple(nodes), names, self.network.path(src, dst))

    def to_json(self) -> dict[str, Any]:
        """Plain numbers, with their unit at the end of the key; "inf" for what is infinite."""
        network, graph = self.network, self.graph
        value = {
            "network": network.name,
            "kind": kind(network),
            "ranks": self.ranks,
            "places": places(network),
            "collectives": network.collectives.name,
            "conditions": asdict(network.conditions) if network.conditions else None,
            "links": [_link_record(link) for link in graph.links],
            "switches": [vars(switch) for switch in graph.switches],
            "staged_through": list(graph.staged_through),
            "routes": [_way_record(way) for way in self.ways()],
            "source": dict(network.source),
        }
        record: dict[str, Any] = plain(value)
        return record

    def print(self) -> None:
        """For people: a drawing, the links, the routes, and where the numbers are from."""
        network = self.network
        print(f"{network.name}: {kind(network)}")
        print(f"shown for {self.ranks} ranks; collectives: {network.collectives.name}")
        if network.conditions:
            print("conditions:", *network.conditions.sentences(), sep="\n  ")
        print("", *tree(self.graph), "", sep="\n")
        _print_links(self.graph.links)
        if self.one:
            _print_way(next(self.ways()))
        else:
            _print_ways(list(self.ways()), self.ranks)
        print(*_lines(network.source), sep="\n", end="\n" if network.source else "")


def _ranks(network: Topology, ranks: int | None) -> int:
    if ranks is not None and ranks < 1:
        raise InputError(f"--ranks is {ranks}, expected 1 or more")
    if isinstance(network, Graph):
        if ranks is not None:
            network.node(ranks - 1)
        return ranks or network.places
    return ranks or (2 * network.ranks_per_island if isinstance(network, Islands) else 4)


def _pairs(ranks: int) -> list[tuple[int, int]]:
    sources = range(ranks if ranks <= _ALL_PAIRS else 1)
    return [(src, dst) for src in sources for dst in range(ranks) if src != dst]


def _pair(text: str, ranks: int) -> tuple[int, int]:
    parts = text.split(",")
    if len(parts) != 2 or not all(part.strip().isdecimal() for part in parts):
        raise InputError(f"--route {text!r}: expected two ranks, such as 0,5")
    src, dst = map(int, parts)
    if src == dst or max(src, dst) >= ranks:
        raise InputError(f"--route {text!r}: expected two different ranks below {ranks}")
    return src, dst


def _print_links(links: Sequence[Link]) -> None:
    """A line each; columns in which nothing stands out are left away."""
    runs = [[link] for link in links]
    if len(links) > _ALL_LINKS:
        runs = [list(run) for _, run in groupby(links, _cells)]
    rows = [(*_names(run), *_cells(run[0])) for run in runs]
    plain = [_PLAIN.get(title) for title in _LINK_COLUMNS]
    kept = [
        place
        for place, column in enumerate(zip(*rows, strict=True))
        if set(column) != {plain[place]}
    ]
    columns = [_LINK_COLUMNS[place] for place in kept]
    print_table("links", columns, [[row[place] for place in kept] for row in rows])


_LINK_COLUMNS = (
    *("link", "from", "to", "rate", "efficiency", "payload", "latency", "per message"),
    *("rendezvous", "one message", "burst", "pcie"),
)
#: What most links have.
_PLAIN = {
    "efficiency": "1",
    "per message": "0 s",
    "rendezvous": "0 s",
    "one message": "inf bit/s",
    "burst": "0 B",
    "pcie": "no",
}


def _names(run: Sequence[Link]) -> Iterator[str]:
    """Of the link and its ends; of several links, of the first and the last."""
    names = [(link.name, *link.ends) for link in run]
    for first, last in zip(names[0], names[-1], strict=True):
        yield first if first == last else f"{first} … {last}"


def _cells(link: Link) -> tuple[str, ...]:
    return (
        format_rate(link.rate_bps),
        f"{link.efficiency:g}",
        speed(link),
        *(format_s(time_s) for time_s in (link.latency_s, link.message_s, link.ready_s)),
        format_rate(link.flow_bps),
        format_bytes(link.burst_bytes),
        "yes" if link.pcie else "no",
    )


def _print_ways(ways: Sequence[Way], ranks: int) -> None:
    groups: dict[tuple[float, ...], list[Way]] = {}
    for way in ways:
        groups.setdefault(way.costs, []).append(way)
    if not groups:
        return
    whose = "routes" if ranks <= _ALL_PAIRS else "routes of rank 0; --route 3,5 shows another one"
    rows = [
        (_pairs_text(group), " > ".join(group[0].nodes), *_way_cells(group[0].path))
        for group in groups.values()
    ]
    print_table(f"{whose}: a message that is alone on its links", _WAY_COLUMNS, rows)


_WAY_COLUMNS = ("ranks", "for example", "rate", "latency", "per message", "rendezvous")


def _pairs_text(ways: Sequence[Way]) -> str:
    """Both directions in one, where both are there; of many, how many more."""
    pairs = {(way.src, way.dst): None for way in ways}
    both = [pair for pair in pairs if pair[::-1] in pairs and pair[0] < pair[1]]
    one_way = [pair for pair in pairs if pair[::-1] not in pairs]
    texts = [f"{src}-{dst}" for src, dst in both] + [f"{src}→{dst}" for src, dst in one_way]
    more = f" and {len(texts) - 28} more" if len(texts) > 28 else ""
    return " ".join(texts[:28]) + more


def _way_cells(path: Path) -> tuple[str, ...]:
    rate = f"{format_bytes(path.alone_bps / bits(1))}/s"
    return rate, *(format_s(time_s) for time_s in (path.latency_s, path.message_s, path.ready_s))


def _print_way(way: Way) -> None:
    hops = [(hop.name, format_rate(hop.rate_bps)) for hop in way.path.hops]
    print_table(f"{way.src}→{way.dst}, hop by hop", ("hop", "rate"), hops)
    row = (f"{way.src}→{way.dst}", " > ".join(way.nodes), *_way_cells(way.path))
    print_table("a message that is alone on its links", _WAY_COLUMNS, [row])


def _link_record(link: Link) -> dict[str, Any]:
    start, end = link.ends
    numbers = {name: value for name, value in vars(link).items() if name not in _NOT_NUMBERS}
    return {"name": link.name, "from": start, "to": end, **numbers, "duplex": link.duplex}


_NOT_NUMBERS = ("name", "ends", "half_duplex")


def _way_record(way: Way) -> dict[str, Any]:
    path = way.path
    return {
        "src": way.src,
        "dst": way.dst,
        "nodes": list(way.nodes),
        "links": list(way.links),
        "hops": [hop._asdict() for hop in path.hops],
        "rate_bps": path.alone_bps,
        "latency_s": path.latency_s,
        "message_s": path.message_s,
        "ready_s": path.ready_s,
    }


def _lines(source: Mapping[str, Any], before: str = "") -> Iterator[str]:
    """A key and its value each; of a table in it, each key with the table's before it."""
    for key, value in source.items():
        if isinstance(value, Mapping):
            yield from _lines(value, f"{before}{key}.")
        else:
            yield f"{before}{key}: {_text(value)}"


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key} {_text(part)}" for key, part in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        nested = any(isinstance(part, Mapping | list) for part in value)
        return ("; " if nested else ", ").join(map(_text, value))
    return str(value).lower() if isinstance(value, bool) else str(value)
