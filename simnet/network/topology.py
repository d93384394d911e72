"""What joins the ranks: for each pair, the links that a message between them crosses."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import simpy

from simnet.network.carriage import Carrier
from simnet.network.collectives.selection import RING, Selection
from simnet.network.graph import Graph
from simnet.network.link import check_numbers, check_packets
from simnet.network.path import PEAK_BPS, Hop, Path
from traces.errors import InputError

if TYPE_CHECKING:
    from simnet.network.conditions.conditions import Conditions


@dataclass(frozen=True)
class _Uniform:
    """A rate, a latency and an overhead that are the same for all pairs of ranks."""

    name: str
    rate_bps: float
    latency_s: float = 0.0
    message_s: float = 0.0
    ready_s: float = 0.0
    collectives: Selection = RING
    cap_bps: float = math.inf
    conditions: Conditions | None = None
    source: Mapping[str, Any] = field(default_factory=dict, compare=False)
    burst_bytes: float = 0.0
    peak_bps: float = PEAK_BPS
    acks: float = 0.0
    queue_bytes: float = 0.0

    def __post_init__(self) -> None:
        numbers = {
            name: value for name, value in vars(self).items() if name.endswith(("_bps", "_s"))
        }
        check_numbers(f"network {self.name!r}", **numbers)
        hop = self._hop("any")
        check_packets(f"network {self.name!r}", hop, self.acks, self.queue_bytes)

    def hops(self, src: int, dst: int) -> tuple[Hop, ...]:
        """The links that a message crosses."""
        raise NotImplementedError

    def path(self, src: int, dst: int) -> Path:
        """These links, and the costs that all messages have."""
        hops = self.hops(src, dst)
        costs = self.latency_s, self.message_s, self.ready_s, self.cap_bps, self.acks
        return Path(hops, *costs, self.queue_bytes)

    def traffic(self, env: simpy.Environment) -> Carrier:
        """All links idle."""
        return Carrier(self, env)

    def _hop(self, name: str) -> Hop:
        return Hop(name, self.rate_bps, self.burst_bytes, self.peak_bps)


class Links(_Uniform):
    """Every rank on a full-duplex link of its own to a switch that blocks nothing.

    Messages that cross a side of a link share it max-min fairly. `latency_s` is from the sender's
    last bit to the receiver's; `message_s` is what a sender does for a message before its first
    bit; `ready_s` is how long a receiver's readiness takes to reach the sender, which waits for it
    (0: it does not). No message is faster than `cap_bps`, however idle the links. `burst_bytes`
    pass each side of a link at `peak_bps` after a rest, as through a token bucket. For each byte of
    a message `acks` of one go back, to acknowledge it, and `queue_bytes` of each connection stand
    in front of a busy link (see connections.py). `conditions` are kept for whoever simulates;
    `source` says what the numbers are from. Raises InputError for a number that makes no sense.
    """

    def hops(self, src: int, dst: int) -> tuple[Hop, ...]:
        """Out of one link and into another."""
        return self._hop(f"rank {src} out"), self._hop(f"rank {dst} in")


class Medium(_Uniform):
    """One medium that all ranks share in both directions: a radio channel, a token bucket.

    Parameters as for Links; `rate_bps` is of all together.
    """

    def hops(self, src: int, dst: int) -> tuple[Hop, ...]:
        """The medium."""
        del src, dst
        return (self._hop("medium"),)


@dataclass(frozen=True)
class Islands:
    """Ranks in islands of so many, each island behind one link: hosts on a network, CPU sockets.

    Inside an island every rank has a link of its own to a switch that blocks nothing, with
    `inside`'s rate and latency. A message to another island crosses its sender's link, the link
    out of its island, the link into the other, and its receiver's link; all its costs add up.
    """

    name: str
    ranks_per_island: int
    inside: Links
    between: Links
    collectives: Selection = RING
    conditions: Conditions | None = None
    source: Mapping[str, Any] = field(default_factory=dict, compare=False)

    def __post_init__(self) -> None:
        if self.ranks_per_island < 1:
            raise InputError(
                f"network {self.name!r}: ranks_per_island is {self.ranks_per_island}, "
                "expected 1 or more"
            )

    def path(self, src: int, dst: int) -> Path:
        """Through the islands' links only where the islands differ."""
        way = self.inside.path(src, dst)
        here, there = src // self.ranks_per_island, dst // self.ranks_per_island
        if here == there:
            return way
        out, into = way.hops
        cut = [
            hop._replace(name=name)
            for hop, name in zip(
                self.between.hops(here, there),
                (f"island {here} out", f"island {there} in"),
                strict=True,
            )
        ]
        return Path(
            (out, *cut, into),
            way.latency_s + self.between.latency_s,
            way.message_s + self.between.message_s,
            way.ready_s + self.between.ready_s,
            min(way.cap_bps, self.between.cap_bps),
            max(way.acks, self.between.acks),
            max(way.queue_bytes, self.between.queue_bytes),
        )

    def traffic(self, env: simpy.Environment) -> Carrier:
        """All links idle."""
        return Carrier(self, env)


#: What presets are, and what a network file describes.
Topology = Links | Medium | Islands | Graph
