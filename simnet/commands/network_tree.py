"""A graph as text: the nodes that hang on its middle, and the links that no tree can show."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from itertools import groupby
from typing import NamedTuple

from simnet.network.graph import Graph
from simnet.network.link import Link
from traces.units import bits, format_bytes

_FEW = 8  # leaves with equal links beside each other; more are one line


class Twig(NamedTuple):
    """A node and the link that it hangs on."""

    node: str
    link: Link


def tree(graph: Graph) -> list[str]:
    """The lines of the drawing."""
    at = _links_at(graph)
    root = _middle(graph, at)
    twigs = _tree(root, at)
    in_tree = {twig.link.name for hanging in twigs.values() for twig in hanging}
    lines = [_label(graph, root), *_branches(graph, twigs, root)]
    besides = [link for link in graph.links if link.name not in in_tree]
    return lines + [
        f"besides, {link.name}: {' and '.join(link.ends)}  {_of(link)}" for link in besides
    ]


def speed(link: Link) -> str:
    """Payload, in bytes, and whether both directions share it."""
    if link.payload_bps == math.inf:
        return "no limit"
    rate = f"{format_bytes(link.payload_bps / bits(1))}/s"
    return f"{rate} {'both ways together' if link.half_duplex else 'each way'}"


def _links_at(graph: Graph) -> dict[str, list[Link]]:
    at: dict[str, list[Link]] = {}
    for link in graph.links:
        for end in link.ends:
            at.setdefault(end, []).append(link)
    return at


def _middle(graph: Graph, at: Mapping[str, list[Link]]) -> str:
    """The middle of a longest way, which in a tree is where no node is far."""
    end = _farthest(graph.ranks[0], at)[-1]
    way = _farthest(end, at)
    inner = [node for node in way if node not in graph.ranks]
    return inner[len(inner) // 2] if inner else way[len(way) // 2]


def _farthest(start: str, at: Mapping[str, list[Link]]) -> list[str]:
    """The nodes on the way to one that is as far as any."""
    before: dict[str, str] = {}
    seen = {start: None}
    layer = [start]
    last = start
    while layer:
        last = layer[0]
        following: list[str] = []
        for node in layer:
            for link in at.get(node, ()):
                other = link.other(node)
                if other not in seen:
                    seen[other] = None
                    before[other] = node
                    following.append(other)
        layer = following
    way = [last]
    while way[-1] in before:
        way.append(before[way[-1]])
    return way[::-1]


def _tree(root: str, at: Mapping[str, list[Link]]) -> dict[str, list[Twig]]:
    """What hangs on each node: breadth first, so that it hangs as high as it can."""
    twigs: dict[str, list[Twig]] = {root: []}
    layer = [root]
    while layer:
        following: list[str] = []
        for node in layer:
            for link in at.get(node, ()):
                other = link.other(node)
                if other not in twigs:
                    twigs[other] = []
                    twigs[node].append(Twig(other, link))
                    following.append(other)
        layer = following
    return twigs


def _branches(
    graph: Graph, twigs: Mapping[str, list[Twig]], node: str, indent: str = ""
) -> Iterator[str]:
    def alike(twig: Twig) -> object:
        return twig.node if twigs[twig.node] else (_of(twig.link), twig.node in graph.ranks)

    runs = [list(run) for _, run in groupby(twigs[node], alike)]
    lines = [part for run in runs for part in ([run] if len(run) > _FEW else [[t] for t in run])]
    for place, line in enumerate(lines):
        last = place == len(lines) - 1
        yield indent + ("└── " if last else "├── ") + _line(graph, line)
        inner = indent + ("    " if last else "│   ")
        yield from _branches(graph, twigs, line[0].node, inner)


def _line(graph: Graph, run: list[Twig]) -> str:
    first, last = run[0], run[-1]
    if len(run) == 1:
        return f"{_label(graph, first.node)}  {_of(first.link)} {first.link.name}"
    names = f"{_label(graph, first.node)} to {_label(graph, last.node)}, {len(run)} in all"
    return f"{names}  {_of(first.link)} {first.link.name} to {last.link.name}"


def _of(link: Link) -> str:
    return f"[{speed(link)}]"


def _label(graph: Graph, node: str) -> str:
    limits = [switch for switch in graph.switches if switch.name == node]
    if limits:
        return f"{node}, at most {format_bytes(limits[0].rate_bps / bits(1))}/s in all"
    if node in graph.ranks and node != f"rank{graph.ranks.index(node)}":
        return f"{node} = rank {graph.ranks.index(node)}"
    return node
