"""Builds graphs of common machines: GPUs on PCIe or NVLink, one host or several."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from simnet.network.graph import Graph
from simnet.network.link import Link, Switch
from simnet.network.topology import Islands, Links, Medium, Topology

#: What a link of a kind is like; its name and its ends are those of each copy.
Like = Link


def like(rate_bps: float, latency_s: float = 0.0, **more: Any) -> Like:
    """A pattern for links; `more` as for Link."""
    return Link("pattern", ("one end", "other"), rate_bps, latency_s=latency_s, **more)


def _link(pattern: Like, name: str, one: str, other: str) -> Link:
    return replace(pattern, name=name, ends=(one, other))


def pcie_machine(
    name: str,
    gpus: int,
    slot: Like,
    *,
    memory: Like | None = None,
    across: Like | None = None,
    root_bps: float = math.inf,
    source: Mapping[str, Any],
) -> Graph:
    """GPUs in slots of a root complex, or of two that a link joins `across`, half of them each.

    With `memory`, each root complex has memory, and the GPUs do not reach each other but through
    it. `root_bps` is what a root complex passes on at most.
    """
    sockets = 1 if across is None else 2
    roots = [f"root{socket}" for socket in range(sockets)]
    places = tuple(f"gpu{gpu}" for gpu in range(gpus))
    links = [
        _link(slot, f"slot{gpu}", place, roots[gpu * sockets // gpus])
        for gpu, place in enumerate(places)
    ]
    memories = tuple(f"memory{socket}" for socket in range(sockets)) if memory else ()
    for socket, node in enumerate(memories):
        assert memory is not None
        links.append(_link(memory, f"channels{socket}", roots[socket], node))
    if across is not None:
        links.append(_link(across, "across", *roots))
    limits = tuple(Switch(root, root_bps) for root in roots if root_bps < math.inf)
    return Graph(
        name, places, tuple(links), switches=limits, staged_through=memories, source=source
    )


def nvswitch_machine(name: str, gpus: int, nvlink: Like, source: Mapping[str, Any]) -> Graph:
    """GPUs whose NVLinks all lead to switches that block nothing, drawn as one."""
    places = tuple(f"gpu{gpu}" for gpu in range(gpus))
    links = tuple(
        _link(nvlink, f"nvlink{gpu}", place, "nvswitch") for gpu, place in enumerate(places)
    )
    return Graph(name, places, links, source=source)


def hosts(name: str, count: int, host: Graph, card: Like, source: Mapping[str, Any]) -> Graph:
    """Copies of a host, each with one network card, at its first root complex or switch."""
    at = host.links[0].ends[1]
    places: list[str] = []
    links: list[Link] = []
    switches: list[Switch] = []
    for number in range(count):
        prefix = f"host{number}."
        places += [prefix + place for place in host.ranks]
        for link in host.links:
            one, other = link.ends
            links.append(_link(link, prefix + link.name, prefix + one, prefix + other))
        switches += [replace(switch, name=prefix + switch.name) for switch in host.switches]
        links.append(_link(card, f"{prefix}card", prefix + at, "switch"))
    return Graph(name, tuple(places), tuple(links), switches=tuple(switches), source=source)


def as_graph(topology: Topology, ranks: int) -> Graph:
    """The same network for so many ranks, as a graph to look at and to draw.

    Latencies and overheads that are said of a pair of ranks are halved between its links.
    """
    if isinstance(topology, Graph):
        return topology
    places = tuple(f"rank{rank}" for rank in range(ranks))
    switches: tuple[Switch, ...] = ()
    if isinstance(topology, Islands):
        links = _islands(topology, places)
    elif isinstance(topology, Medium):
        # Its links are no limit; what they share is.
        free = replace(_half(topology), rate_bps=math.inf, burst_bytes=0.0)
        links = [_link(free, f"link{n}", place, "medium") for n, place in enumerate(places)]
        switches = (Switch("medium", topology.rate_bps),)
    else:
        half = _half(topology)
        links = [_link(half, f"link{n}", place, "switch") for n, place in enumerate(places)]
    return Graph(
        topology.name,
        places,
        tuple(links),
        switches=switches,
        collectives=topology.collectives,
        source=topology.source,
    )


def _islands(topology: Islands, places: tuple[str, ...]) -> list[Link]:
    size = topology.ranks_per_island
    inside, between = _half(topology.inside), _half(topology.between)
    links = [
        _link(inside, f"link{rank}", place, f"island{rank // size}")
        for rank, place in enumerate(places)
    ]
    uplinks = [
        _link(between, f"uplink{island}", f"island{island}", "switch")
        for island in range((len(places) - 1) // size + 1)
    ]
    return links + uplinks


def _half(of: Links | Medium) -> Like:
    """What a link has of a pair's latency and overheads."""
    return like(
        of.rate_bps,
        of.latency_s / 2,
        message_s=of.message_s / 2,
        ready_s=of.ready_s / 2,
        flow_bps=of.cap_bps,
        burst_bytes=of.burst_bytes,
        peak_bps=of.peak_bps,
        acks=of.acks,
        queue_bytes=of.queue_bytes,
    )
