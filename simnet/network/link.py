"""What a graph is made of: links that join two nodes, and nodes that limit what passes them."""

from __future__ import annotations

import math
from dataclasses import KW_ONLY, dataclass

from simnet.network.path import Hop
from traces.errors import InputError


@dataclass(frozen=True)
class Link:
    """Joins two nodes; full duplex unless `half_duplex`, when both directions share its rate.

    Payload moves at `rate_bps` times `efficiency`. `flow_bps` is the most that one message gets.
    A message over it costs `message_s` at the sender, `ready_s` of rendezvous and `latency_s`
    on the way. `pcie` says that it is part of a PCIe tree. Raises InputError for a number that
    makes no sense.
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
        if self.half_duplex:
            return Hop(self.name, self.payload_bps)
        side = ">" if start == self.ends[0] else "<"
        return Hop(f"{self.name} {side}", self.payload_bps)

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
