"""What a graph is made of: links that join two nodes, and nodes that limit what passes them."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass

from simnet.network.path import PEAK_BPS, Hop
from traces.errors import InputError

_MOST_CONTENTION = 1e6  # which is no link any more


@dataclass(frozen=True)
class Link:
    """Joins two nodes; full duplex unless `half_duplex`, when both directions share its rate.

    Payload moves at `rate_bps` times `efficiency`. `flow_bps` is the most that one message gets.
    A message over it costs `message_s` at the sender, `ready_s` of rendezvous and `latency_s`
    on the way. `burst_bytes` of payload pass each way at `peak_bps` after a rest, as through a
    token bucket. While k messages cross a side at once, all together get 1/(1 + contention (k - 1))
    of its rate. `acks` bytes go back for each one of a message, to acknowledge it. `pcie` says that
    it is part of a PCIe tree. Raises InputError for a number that makes no sense.
    """

    name: str
    ends: tuple[str, str]
    rate_bps: float
    _: KW_ONLY
    latency_s: float = 0.0
    message_s: float = 0.0
    ready_s: float = 0.0
    efficiency: float = 1.0
    flow_bps: float = math.inf
    burst_bytes: float = 0.0
    peak_bps: float = PEAK_BPS
    acks: float = 0.0
    queue_bytes: float = 0.0
    contention: float = 0.0
    half_duplex: bool = False
    pcie: bool = False

    def __post_init__(self) -> None:
        if self.ends[0] == self.ends[1]:
            raise InputError(f"link {self.name!r} joins {self.ends[0]!r} to itself; expected two")
        _check_name(f"link {self.name!r}", self.name)
        if not 0 < self.efficiency <= 1:
            raise InputError(
                f"link {self.name!r}: efficiency is {self.efficiency}, expected more than 0, "
                "1 or less"
            )
        check_numbers(f"link {self.name!r}", rate_bps=self.rate_bps, flow_bps=self.flow_bps)
        check_numbers(
            f"link {self.name!r}",
            latency_s=self.latency_s,
            message_s=self.message_s,
            ready_s=self.ready_s,
        )
        hop = self.hop(self.ends[0])
        check_packets(f"link {self.name!r}", hop, self.acks, self.queue_bytes)
        if not 0 <= self.contention <= _MOST_CONTENTION:
            raise InputError(
                f"link {self.name!r}: contention is {self.contention}, expected 0 to "
                f"{_MOST_CONTENTION:g}"
            )

    @property
    def payload_bps(self) -> float:
        """What is left of the rate for payload."""
        return self.rate_bps * self.efficiency

    @property
    def duplex(self) -> str:
        """For tables and files."""
        return "half" if self.half_duplex else "full"

    def hop(self, start: str) -> Hop:
        """The side that a message from this end crosses."""
        name = self.name
        if not self.half_duplex:
            name += " >" if start == self.ends[0] else " <"
        return Hop(name, self.payload_bps, self.burst_bytes, self.peak_bps, self.contention)

    def other(self, end: str) -> str:
        """The node at the other end."""
        return self.ends[1] if end == self.ends[0] else self.ends[0]


@dataclass(frozen=True)
class Switch:
    """A node that all messages through it share, in all directions: a crossbar, a root complex.

    Nodes without one pass on whatever their links bring. Raises InputError for a number that
    makes no sense, and for the name of a link's side.
    """

    name: str
    rate_bps: float
    latency_s: float = 0.0

    def __post_init__(self) -> None:
        what = f"switch {self.name!r}"
        _check_name(what, self.name)
        check_numbers(what, rate_bps=self.rate_bps, latency_s=self.latency_s)


def _check_name(what: str, name: str) -> None:
    """Sides of links go by their names, and must not be mistaken for anything else."""
    if name.endswith((" >", " <")):
        raise InputError(f"{what}: its name ends as those of links' sides do; choose another")


def check_numbers(what: str, **numbers: float) -> None:
    """Raises InputError for a rate (`_bps`) not above 0, and a time (`_s`) below 0 or infinite."""
    for name, value in numbers.items():
        if name.endswith("_bps") and not value > 0:
            raise InputError(f"{what}: {name} is {value}, expected > 0")
        if name.endswith("_s") and not 0 <= value < math.inf:
            raise InputError(f"{what}: {name} is {value}, expected 0 or more, finite")


def check_packets(what: str, hop: Hop, acks: float, queue_bytes: float) -> None:
    """Raises InputError for bytes below 0 or infinite, and for a burst that is no faster."""
    for name, value in (("acks", acks), ("queue_bytes", queue_bytes)):
        if not 0 <= value < math.inf:
            raise InputError(f"{what}: {name} is {value}, expected 0 or more, finite")
    if not 0 <= hop.burst_bytes < math.inf:
        raise InputError(f"{what}: burst_bytes is {hop.burst_bytes}, expected 0 or more, finite")
    if hop.burst_bytes and hop.rate_bps < math.inf and not hop.rate_bps <= hop.peak_bps < math.inf:
        raise InputError(
            f"{what}: peak_bps is {hop.peak_bps}, expected at least the rate, "
            f"{hop.rate_bps}, and finite"
        )
