"""Where tokens go when there are no tokens: how many slots fall to each expert in a simulation."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Self

from traces.errors import InputError


@dataclass(frozen=True)
class Zipf:
    """The r-th most wanted expert is wanted r^-skew times as often as the first; 0 is balance.

    Which expert that is changes from layer to layer. Every rank's tokens want the same ones, which
    is the worst for the network.
    """

    skew: float = 0.0

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises InputError for anything but a number from 0 up."""
        try:
            skew = float(text)
        except ValueError:
            skew = math.nan
        if not 0 <= skew < math.inf:
            raise InputError(f"skew is {text!r}, expected a number from 0 (balance) up")
        return cls(skew)

    def loads(self, slots: int, experts: int, layer: int) -> list[int]:
        """How many of a rank's slots fall to each expert."""
        return _zipf(self.skew, slots, experts, layer % experts)

    def __str__(self) -> str:
        return f"{self.skew:g}"


BALANCE = Zipf()


@lru_cache(maxsize=4096)
def _zipf(skew: float, slots: int, experts: int, first: int) -> list[int]:
    wanted = [((expert - first) % experts + 1) ** -skew for expert in range(experts)]
    scale = slots / sum(wanted)
    # Rounded so that they add up: each gets what the sum so far has come to.
    ends = [round(scale * sum(wanted[: expert + 1])) for expert in range(experts)]
    return [end - begin for begin, end in zip([0, *ends], ends, strict=False)]
