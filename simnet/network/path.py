"""What a message meets on its way from one rank to another."""

from __future__ import annotations

import math
from collections import Counter
from typing import NamedTuple, Protocol

#: Of a link's side that has tokens left, where nobody says otherwise: as good as at once.
PEAK_BPS = 1e12


class Hop(NamedTuple):
    """One direction of a link, or a medium that both directions share. A name stands for one.

    After a rest `burst_bytes` pass at `peak_bps`, as through a token bucket (0: none do). While k
    messages cross it at once it carries 1/(1 + contention (k - 1)) of its rate: what converges on a
    host bridge blocks each other's heads of line.
    """

    name: str
    rate_bps: float
    burst_bytes: float = 0.0
    peak_bps: float = PEAK_BPS
    contention: float = 0.0


class Path(NamedTuple):
    """The links that a message crosses, and each cost that is not a matter of their rates.

    A hop that stands there twice carries every bit twice.
    """

    hops: tuple[Hop, ...]
    latency_s: float = 0.0  # from the sender's last bit to the receiver's
    message_s: float = 0.0  # what the sender does before its first bit
    ready_s: float = 0.0  # rendezvous: from the receiver's readiness to the sender's knowing of it
    cap_bps: float = math.inf  # no message is faster, however idle the links (one TCP stream)
    acks: float = 0.0  # bytes on the way back that acknowledge one of the message's
    queue_bytes: float = 0.0  # of each connection in front of a busy link; others' notes wait there

    @property
    def alone_bps(self) -> float:
        """The rate of a message that has the links to itself."""
        crossings = Counter(self.hops)
        return min([self.cap_bps, *(hop.rate_bps / times for hop, times in crossings.items())])


class Paths(Protocol):
    """A topology, as far as messages go."""

    def path(self, src: int, dst: int) -> Path:
        """The way from one rank to another; raises InputError where there is none."""
        ...
