"""The conditions that there are: jitter, slow GPUs, other people's traffic, links that degrade."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from simnet.network.conditions.spells import ALWAYS, Spells
from traces.errors import InputError
from traces.units import format_rate, format_s

#: Nothing that is measured varies less than the first, or more than the second; and beyond them a
#: gamma distribution has no numbers to draw from.
LEAST_VARIATION, MOST_VARIATION = 1e-6, 1e3
#: Beyond these a sum of times is no number any more.
MOST_JITTER_S, MOST_SLOWDOWN = 1e6, 1e6


def _where(what: str) -> Any:
    """Begins complaints: the file and the table that a condition is from."""
    return field(default=what, kw_only=True, compare=False, repr=False)


@dataclass(frozen=True)
class Jitter:
    """Times that vary from one message, or one compute, to the next; each is gamma distributed.

    A message arrives `mean_s` later than it would, on average: delay variation as RFC 5481,
    section 4.2, defines it, above the least delay. `variation` is its standard deviation over its
    mean; at 1 it is exponential. Delays measured on the Internet are a minimum and something that
    looks like a gamma distribution (Bovy et al. 2002, "Analysis of End-to-end Delay Measurements
    in Internet"), over minutes an exponential one (Sukhov et al. 2016, "Generating a function for
    network delay"). A compute takes 1 times as long on average, with standard deviation `compute`.
    Both are from LEAST_VARIATION to MOST_VARIATION, or `compute` 0. Raises InputError for a number
    that makes no sense.
    """

    mean_s: float = 0.0
    variation: float = 1.0
    compute: float = 0.0

    def __post_init__(self) -> None:
        if not 0 <= self.mean_s <= MOST_JITTER_S:
            raise InputError(
                f"mean_s of jitter is {self.mean_s}, expected 0 to {MOST_JITTER_S:g} seconds"
            )
        bounds = f"{LEAST_VARIATION:g} to {MOST_VARIATION:g}"
        if self.compute and not LEAST_VARIATION <= self.compute <= MOST_VARIATION:
            raise InputError(f"compute of jitter is {self.compute}, expected 0, or {bounds}")
        if not LEAST_VARIATION <= self.variation <= MOST_VARIATION:
            raise InputError(f"variation of jitter is {self.variation}, expected {bounds}")

    @property
    def none(self) -> bool:
        """Whether nothing varies."""
        return not (self.mean_s or self.compute)

    def sentences(self) -> Iterator[str]:
        """What varies, in words."""
        if self.mean_s:
            of = format_s(self.mean_s)
            yield f"messages are late by {of} on average, variation {self.variation:g}"
        if self.compute:
            yield f"computes vary, by {self.compute:g} of their time"


@dataclass(frozen=True)
class Straggler:
    """A GPU whose computes take `slowdown` times as long.

    Raises InputError unless that is more than 0 and at most MOST_SLOWDOWN.
    """

    rank: int
    slowdown: float
    where: str = _where("straggler")

    def __post_init__(self) -> None:
        if self.rank < 0:
            raise InputError(f"rank of a straggler is {self.rank}, expected 0 or more")
        if not 0 < self.slowdown <= MOST_SLOWDOWN:
            raise InputError(
                f"slowdown of straggler {self.rank} is {self.slowdown}, expected more than 0, "
                f"{MOST_SLOWDOWN:g} or less"
            )

    def __str__(self) -> str:
        return f"computes of rank {self.rank} take {self.slowdown:g} times as long"


@dataclass(frozen=True)
class Background:
    """Somebody else's flow, which takes up to `rate_bps` of the links on its way while it lasts.

    It goes over the hops of these names, each once, or over those between these two ranks; raises
    InputError unless one of both is given. It shares the links as one more message does; or, if
    `paced`, it takes its rate whatever else there is, as calls and video over UDP do, until it has
    the whole link.
    """

    rate_bps: float
    hops: tuple[str, ...] = ()
    ranks: tuple[int, int] | None = None
    spells: Spells = ALWAYS
    paced: bool = False
    where: str = _where("background")

    def __post_init__(self) -> None:
        if not 0 < self.rate_bps < math.inf:
            raise InputError(f"rate_bps of background is {self.rate_bps}, expected more than 0")
        if bool(self.hops) == (self.ranks is not None):
            raise InputError("where does the background go? give hops, or src and dst, not both")

    def __str__(self) -> str:
        way = "over " + ", ".join(self.hops)
        if self.ranks is not None:
            way = f"from rank {self.ranks[0]} to rank {self.ranks[1]}"
        what = "paced" if self.paced else "other"
        return f"{what} traffic of up to {format_rate(self.rate_bps)} {way}, {self.spells}"


@dataclass(frozen=True)
class Degradation:
    """Links, by the names of their hops, that have `factor` of their rates for a while.

    At 0 what is on its way stands still, and goes on afterwards. Raises InputError for a factor
    outside [0, 1], and for 0 without an end.
    """

    hops: tuple[str, ...]
    factor: float
    spells: Spells = ALWAYS
    where: str = _where("degradation")

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

    def __str__(self) -> str:
        hops = ", ".join(self.hops)
        what = f"{hops} at {self.factor:g} of the rate" if self.factor else f"outage of {hops}"
        return f"{what}, {self.spells}"


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

    def sentences(self) -> Iterator[str]:
        """Each in words: what, where and when."""
        yield from self.jitter.sentences()
        yield from map(str, (*self.stragglers, *self.background, *self.degradations))

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
