"""One time axis for many hosts: how far another host's clock is ahead of this one's."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple


class Ping(NamedTuple):
    """A message there and back, in seconds, each on the clock of the host that read it."""

    sent_s: float
    answered_s: float  # on the other host
    received_s: float


def ahead_s(pings: Iterable[Ping]) -> float:
    """How far the other clock is ahead, from the ping that was quickest to come back.

    The answer is taken to lie half-way between sending and receiving, so the error is at most
    half the quickest round trip (Mills 1991, "Internet Time Synchronization", section 4).
    """
    best = min(pings, key=lambda ping: ping.received_s - ping.sent_s)
    return best.answered_s - (best.sent_s + best.received_s) / 2
