"""Which plans no other beats in latency, quality and memory at once.

Quality counts in whole decibels, for no more is known of it, and memory in hundredths of what the
GPU has.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import NamedTuple, Protocol, TypeVar

#: Of pictures that are a level of 255 off, the root mean square: from there on all are equal.
SAME_DB = round(20 * math.log10(255))


class Worth(NamedTuple):
    """What a plan has to offer besides being fast; more is better."""

    quality: int  # dB, SAME_DB at most
    free: int  # hundredths of the GPU's memory, rounded down; 100 where it has no limit


def worth(quality_db: float, memory_bytes: float, device_bytes: float) -> Worth:
    """Of a plan with this quality, on devices with so much memory."""
    decibels = 0 if math.isnan(quality_db) else round(min(max(quality_db, 0.0), SAME_DB))
    return Worth(decibels, math.floor(100 * (1 - memory_bytes / device_bytes)))


class Weighed(Protocol):
    """Anything with these measures."""

    @property
    def latency_s(self) -> float:
        """Less is better."""
        ...

    @property
    def worth(self) -> Worth:
        """More of both is better."""
        ...


W = TypeVar("W", bound=Weighed)


def front(found: Iterable[W]) -> list[W]:
    """Those that nothing beats, the fastest first; of equals the first alone."""
    best: list[W] = []
    for one in sorted(found, key=lambda x: (x.latency_s, -x.worth.quality, -x.worth.free)):
        if not any(_as_good(other.worth, one.worth) for other in best):
            best.append(one)
    return best


def beaten(best: Sequence[Weighed], least_s: float, of: Worth) -> bool:
    """Whether one of these is as good as that, and faster than it can be."""
    return any(one.latency_s < least_s and _as_good(one.worth, of) for one in best)


def _as_good(one: Worth, other: Worth) -> bool:
    return one.quality >= other.quality and one.free >= other.free
