"""The token bucket that limits a link of the lab: what it lets through, and how it is set up."""

from __future__ import annotations

import math
from dataclasses import dataclass

from traces.errors import InputError
from traces.units import format_rate

# TCP over IPv4 with timestamps in packets of 1500 bytes. The bucket counts them with their
# Ethernet header; the preamble, checksum and gap of a real wire (24 bytes) it does not see.
_PAYLOAD_BYTES = 1448
_COUNTED_BYTES = 1514

# A bucket that is emptied once in a kernel tick (1/250 s) must hold what the link carries in one,
# and some more; and one segment that TCP hands down whole (64 kB).
_TICKS_PER_S = 250
_MARGIN = 1.2
_LEAST_BURST_BYTES = 64_000
_BITS = 8  # tc takes bytes for sizes

# Below, tc makes the burst less than it was told; far above, it has no number for it.
_LEAST_BPS, _MOST_BPS = 10e3, 1e12


@dataclass(frozen=True, slots=True)
class Bucket:
    """So many bits a second, of which `burst_bytes` may pass at once after an idle spell.

    Packets that find the bucket empty queue up to `limit_bytes`: more than TCP has under way, so
    that none is dropped. Raises InputError for a rate that such a bucket cannot have.
    """

    rate_bps: float
    limit_bytes: int = 4_000_000

    def __post_init__(self) -> None:
        if not _LEAST_BPS <= self.rate_bps <= _MOST_BPS:
            raise InputError(
                f"a link of the lab carries {format_rate(self.rate_bps)}, expected "
                f"{format_rate(_LEAST_BPS)} to {format_rate(_MOST_BPS)}"
            )

    @property
    def burst_bytes(self) -> int:
        """What passes at once when the link was idle long enough."""
        tick_bytes = self.rate_bps / _BITS / _TICKS_PER_S
        return max(_LEAST_BURST_BYTES, math.ceil(_MARGIN * tick_bytes))

    @property
    def payload_bps(self) -> float:
        """What TCP carries through it of a program's data."""
        return self.rate_bps * _PAYLOAD_BYTES / _COUNTED_BYTES

    def words(self) -> list[str]:
        """What `tc` calls it."""
        rate, burst = f"{round(self.rate_bps)}bit", str(self.burst_bytes)
        return ["tbf", "rate", rate, "burst", burst, "limit", str(self.limit_bytes)]
