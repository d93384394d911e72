"""What kind of network it is, in a few words, and what one message has of it."""

from __future__ import annotations

import math
from collections import Counter

from simnet.network.graph import Graph
from simnet.network.path import Path
from simnet.network.topology import Islands, Medium, Topology
from traces.units import format_rate


def kind(network: Topology) -> str:
    """What joins the ranks."""
    if isinstance(network, Medium):
        return "one for all ranks together"
    if isinstance(network, Islands):
        between = format_rate(network.between.rate_bps)
        return f"islands of {network.ranks_per_island}; {between} each way between them"
    if isinstance(network, Graph):
        places = f"a graph of {len(network.links)} links with {network.places} places"
        staged = ", ".join(network.staged_through)
        return f"{places}; PCIe traffic by way of {staged}" if staged else places
    return "a link for each rank, each way"


def alone_bps(path: Path) -> float:
    """The rate of a message that has the links to itself."""
    crossings = Counter(path.hops)
    rates = [hop.rate_bps / times for hop, times in crossings.items()]
    return min([path.cap_bps, *rates])


def places(network: Topology) -> float:
    """How many ranks there is room for; infinite but for a graph."""
    return network.places if isinstance(network, Graph) else math.inf
