"""The first network: every rank on a full-duplex link of its own to an ideal switch."""

from __future__ import annotations

import math
from collections import defaultdict
from dataclasses import dataclass

import simpy

from simnet.network.collectives import LOWERED
from simnet.network.network import Exchange
from traces.errors import InputError
from traces.units import bits


@dataclass(frozen=True)
class Links:
    """Links of `rate_bps` each way that deliver a bit `latency_s` after it was sent.

    Exchanges that meet on a side of a link take turns in the order in which they began, and each
    books all its rounds at once: one that is held up at one end holds up what comes after it at
    the other (head-of-line blocking). Nothing is shared fluidly, and a message costs nothing by
    itself.
    """

    name: str
    rate_bps: float
    latency_s: float = 0.0

    def __post_init__(self) -> None:
        if not self.rate_bps > 0:
            raise InputError(f"network {self.name!r}: rate_bps is {self.rate_bps}, expected > 0")
        if not 0 <= self.latency_s < math.inf:
            raise InputError(
                f"network {self.name!r}: latency_s is {self.latency_s}, expected 0 or more, finite"
            )

    def traffic(self, env: simpy.Environment) -> LinkTraffic:
        """All links idle."""
        return LinkTraffic(self, env)


class LinkTraffic:
    """When each side of each link is free again."""

    def __init__(self, links: Links, env: simpy.Environment) -> None:
        self.links = links
        self.env = env
        self.free_out: dict[int, float] = defaultdict(float)
        self.free_in: dict[int, float] = defaultdict(float)

    def carry(self, exchange: Exchange) -> list[simpy.Event]:
        """Book the exchange's flows, round by round, on the links they need."""
        now = self.env.now
        ready = dict.fromkeys(exchange.ranks, now)
        for flows in LOWERED[exchange.kind](exchange.ranks, exchange.nbytes):
            entered = dict(ready)
            for src, dst, nbytes in flows:
                start_s = max(entered[src], entered[dst], self.free_out[src], self.free_in[dst])
                sent_s = start_s + bits(nbytes) / self.links.rate_bps
                self.free_out[src] = self.free_in[dst] = sent_s
                ready[src] = max(ready[src], sent_s)
                ready[dst] = max(ready[dst], sent_s + self.links.latency_s)
        return [self.env.timeout(ready[rank] - now) for rank in exchange.ranks]
