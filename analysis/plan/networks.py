"""The same network with faster or slower links."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import TypeVar

import numpy as np

from simnet.lowering.batch import Batch, dedicated
from simnet.network.graph import Graph
from simnet.network.topology import Islands, Links, Medium, Topology
from traces.units import format_rate

Uniform = TypeVar("Uniform", Links, Medium)


def scaled(network: Topology, rate: float = 1.0, latency: float = 1.0) -> Topology:
    """All rates that many times as high, all latencies that many times as long.

    Of islands only what joins them: hosts stay as they are. What is sent in a rendezvous and what
    a sender does for a message stay too.
    """
    if isinstance(network, Islands):
        return replace(network, between=_uniform(network.between, rate, latency))
    if isinstance(network, Links):
        return _uniform(network, rate, latency)
    if isinstance(network, Medium):
        return _uniform(network, rate, latency)
    links = tuple(
        replace(
            link,
            rate_bps=link.rate_bps * rate,
            flow_bps=link.flow_bps * rate,
            peak_bps=link.peak_bps * max(1.0, rate),
            latency_s=link.latency_s * latency,
        )
        for link in network.links
    )
    switches = tuple(
        replace(switch, rate_bps=switch.rate_bps * rate) for switch in network.switches
    )
    return replace(network, links=links, switches=switches)


def spread(network: Topology, factors: Sequence[float]) -> Batch | list[Topology]:
    """It at all of these factors of its rates, for `simnet.lowering.evaluate`.

    Plain links as one batch, for which a graph is made ready once.
    """
    if not isinstance(network, Links) or network.acks + network.burst_bytes + network.queue_bytes:
        return [scaled(network, factor) for factor in factors]
    return dedicated(
        network.rate_bps * np.asarray(factors),
        network.latency_s,
        message_s=network.message_s,
        ready_s=network.ready_s,
        cap_bps=network.cap_bps,
        collectives=network.collectives,
    )


def rate_bps(network: Topology) -> float:
    """Of what is scaled, the slowest link; payload."""
    if isinstance(network, Islands):
        return network.between.rate_bps
    if isinstance(network, Graph):
        return min(link.payload_bps for link in network.links)
    return network.rate_bps


def described(network: Topology, factor: float) -> str:
    """What a rate that many times as high is called."""
    rate = format_rate(rate_bps(network) * factor)
    if isinstance(network, Islands):
        return f"{rate} between islands"
    if isinstance(network, Graph):
        return f"{rate} on the slowest link, others in proportion"
    return rate


def _uniform(network: Uniform, rate: float, latency: float) -> Uniform:
    return replace(
        network,
        rate_bps=network.rate_bps * rate,
        peak_bps=network.peak_bps * max(1.0, rate),
        latency_s=network.latency_s * latency,
    )
