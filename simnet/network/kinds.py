"""What kind of network it is, in a few words, and how many ranks there is room for."""

from __future__ import annotations

import math

from simnet.network.graph import Graph
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


def places(network: Topology) -> float:
    """How many ranks there is room for; infinite but for a graph."""
    return network.places if isinstance(network, Graph) else math.inf
