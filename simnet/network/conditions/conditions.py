"""The conditions that there are: jitter, slow GPUs, other people's traffic, links that degrade."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from simnet.network.conditions.spells import ALWAYS, Spells
from traces.errors import InputError
from traces.units import format_s


@dataclass(frozen=True)
class Jitter:
    """Times that vary from one message, or one compute, to the next; each is gamma distributed.

    A message arrives `mean_s` later than it would, on average: delay variation as RFC 5481,
    section 4.2, defines it, above the least delay. `variation` is its standard deviation over its
    mean; at 1 it is exponential. Delays measured on the Internet are a minimum and something that
    looks like a gamma distribution (Bovy et al. 2002, "Analysis of End-to-end Delay Measurements
    in Internet"), over minutes an exponential one (Sukhov et al. 2016, "Generating a function for
    network delay"). A compute takes 1 times as long on average, with standard deviation `compute`.
    Raises InputError for a number that makes no sense.
    """

    mean_s: float = 0.0
    variation: float = 1.0
    compute: float = 0.0

    def __post_init__(self) -> None:
        for name in ("mean_s", "compute"):
            if not 0 <= getattr(self, name) < math.inf:
                raise InputError(f"{name} of jitter is {getattr(self, name)}, expected 0 or more")
        if not 0 < self.variation < math.inf:
            raise InputError(f"variation of jitter is {self.variation}, expected more than 0")

    @property
    def none(self) -> bool:
        """Whether nothing varies."""
        return not (self.mean_s or self.compute)


@dataclass(frozen=True)
class Straggler:
    """A GPU whose computes take `slowdown` times as long. Raises InputError unless it is > 0."""

    rank: int
    slowdown: float

    def __post_init__(self) -> None:
        if self.rank < 0:
            raise InputError(f"rank of a straggler is {self.rank}, expected 0 or more")
        if not 0 < self.slowdown < math.inf:
            raise InputError(
                f"slowdown of straggler {self.rank} is {self.slowdown}, expected more than 0"
            )


@dataclass(frozen=True)
class Background:
    """Somebody else's flow, which takes up to `rate_bps` of the links on its way while it lasts.

    It goes over the hops of these names, or over those between these two ranks; raises InputError
    unless one of both is given.
    """

    rate_bps: float
    hops: tuple[str, ...] = ()
    ranks: tuple[int, int] | None = None
    spells: Spells = ALWAYS

    def __post_init__(self) -> None:
        if not 0 < self.rate_bps < math.inf:
            raise InputError(f"rate_bps of background is {self.rate_bps}, expected more than 0")
        if bool(self.hops) == (self.ranks is not None):
            raise InputError("where does the background go? give hops, or src and dst, not both")


@dataclass(frozen=True)
class Degradation:
    """Links, by the names of their hops, that have `factor` of their rates for a while.

    At 0 what is on its way stands still, and goes on afterwards. Raises InputError for a factor
    outside [0, 1], and for 0 without an end.
    """

    hops: tuple[str, ...]
    factor: float
    spells: Spells = ALWAYS

    def __post_init__(self) -> None:
        if not self.hops:
            raise InputError("which hops degrade? none is named")
        where = f"degradation of {', '.join(self.hops)}"
        if not 0 <= self.factor <= 1:
            raise InputError(f"{where}: factor is {self.factor}, expected 0 to 1")
        if not self.factor and self.spells.endless:
            raise InputError(
                f"{where}: an outage without an end, after which nothing would arrive; say until "
                "when, or how long outages last on average and how far apart they are"
            )


@dataclass(frozen=True)
class Conditions:
    """What is not as it should be; by default nothing.

    Raises InputError for two stragglers of one rank.
    """

    jitter: Jitter = Jitter()
    stragglers: tuple[Straggler, ...] = ()
    background: tuple[Background, ...] = ()
    degradations: tuple[Degradation, ...] = ()

    def __post_init__(self) -> None:
        for rank, times in Counter(straggler.rank for straggler in self.stragglers).items():
            if times > 1:
                raise InputError(f"straggler: rank {rank} is named {times} times; name it once")

    @property
    def random(self) -> bool:
        """Whether a seed makes a difference."""
        changing: tuple[Background | Degradation, ...] = (*self.background, *self.degradations)
        return not self.jitter.none or any(each.spells.random for each in changing)

    def joined(self, other: Conditions) -> Conditions:
        """All of these and of the others; raises InputError where both have jitter."""
        if not (self.jitter.none or other.jitter.none):
            raise InputError(
                "jitter is given twice (the network's file, --conditions and --jitter may have "
                "it); give it once"
            )
        return Conditions(
            other.jitter if self.jitter.none else self.jitter,
            self.stragglers + other.stragglers,
            self.background + other.background,
            self.degradations + other.degradations,
        )

    def __str__(self) -> str:
        return ", ".join(self._parts())

    def _parts(self) -> Iterator[str]:
        if self.jitter.mean_s:
            yield f"jitter {format_s(self.jitter.mean_s)}"
        if self.jitter.compute:
            yield f"compute jitter {self.jitter.compute:g}"
        for straggler in self.stragglers:
            yield f"straggler {straggler.rank}:{straggler.slowdown:g}"
        for number, what in (
            (len(self.background), "background"),
            (sum(each.factor > 0 for each in self.degradations), "degraded"),
            (sum(each.factor == 0 for each in self.degradations), "outage"),
        ):
            if number:
                yield what if number == 1 else f"{number} {what}"
