"""When a condition holds: all the time, once, or again and again at random."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING, Protocol

from traces.errors import InputError
from traces.units import format_s

if TYPE_CHECKING:
    from numpy.random import Generator

#: Spells are simulated one by one: of a million in a second it would be the rate that counts.
SHORTEST_S = 1e-6


class Spells(Protocol):
    """The times during which something holds."""

    @property
    def random(self) -> bool:
        """Whether a seed makes a difference."""
        ...

    @property
    def endless(self) -> bool:
        """Whether a spell may have no end."""
        ...

    def edges(self, rng: Generator) -> Iterator[float]:
        """In seconds and in order: a spell begins, ends, the next one begins, and so on."""
        ...


@dataclass(frozen=True)
class Once:
    """One spell, by default all the time. Raises InputError unless 0 <= from_s < to_s."""

    from_s: float = 0.0
    to_s: float = math.inf

    def __post_init__(self) -> None:
        if not 0 <= self.from_s < self.to_s:
            raise InputError(
                f"it holds from {self.from_s} s to {self.to_s} s; expected a time from 0 on and "
                "a later one"
            )

    @property
    def random(self) -> bool:
        """Never."""
        return False

    @property
    def endless(self) -> bool:
        """Without a time at which it ends."""
        return self.to_s == math.inf

    def edges(self, rng: Generator) -> Iterator[float]:
        """See Spells."""
        del rng
        yield self.from_s
        yield self.to_s

    def __str__(self) -> str:
        from_s, to_s = map(format_s, (self.from_s, self.to_s))
        if self.endless:
            return f"from {from_s} on" if self.from_s else "all the time"
        return f"from {from_s} to {to_s}"


@dataclass(frozen=True)
class Recurring:
    """Spells and gaps of exponential lengths with these means: a two-state Markov process.

    It is in its steady state from the beginning: at any time it holds with probability
    lasts_s / (lasts_s + apart_s). Raises InputError for a mean below SHORTEST_S.
    """

    lasts_s: float
    apart_s: float

    def __post_init__(self) -> None:
        for what, mean_s in (("lasts", self.lasts_s), ("apart", self.apart_s)):
            if not SHORTEST_S <= mean_s < math.inf:
                raise InputError(f"{what} is {mean_s} s on average; expected 1us or more, finite")

    @property
    def random(self) -> bool:
        """Always."""
        return True

    @property
    def endless(self) -> bool:
        """Never: each has an end."""
        return False

    def edges(self, rng: Generator) -> Iterator[float]:
        """See Spells. An exponential length has no memory, so the first may be under way at 0."""
        holds = rng.random() < self.lasts_s / (self.lasts_s + self.apart_s)
        time_s = 0.0 if holds else rng.exponential(self.apart_s)
        for mean_s in cycle((self.lasts_s, self.apart_s)):
            yield time_s
            time_s += rng.exponential(mean_s)

    def __str__(self) -> str:
        lasts, apart = map(format_s, (self.lasts_s, self.apart_s))
        return f"at random, for {lasts} at a time and {apart} apart on average"


ALWAYS = Once()


class Toggle:
    """Spells as time goes by: `on` during each; `next_s` is when that changes."""

    def __init__(self, edges: Iterator[float]) -> None:
        self.edges = edges
        self.on = False
        self.next_s = next(edges, math.inf)

    def advance(self, now_s: float) -> None:
        """Go through all edges up to now; at an edge the new state holds."""
        while self.next_s <= now_s:
            self.on = not self.on
            self.next_s = next(self.edges, math.inf)
