"""A parameter that is a number which need not be whole."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar, Self

from traces.errors import InputError


@dataclass(frozen=True)
class Number:
    """One from 0 to `most`."""

    value: float
    what: ClassVar[str]  # it is
    most: ClassVar[float] = math.inf

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises InputError for what is no such number."""
        try:
            value = float(text)
        except ValueError:
            value = math.nan
        if not 0 <= value <= cls.most or math.isinf(value):
            most = "up" if math.isinf(cls.most) else f"to {cls.most:g}"
            raise InputError(f"{cls.what} is {text!r}, expected a number from 0 {most}")
        return cls(value)

    def __str__(self) -> str:
        return f"{self.value:g}" if float(f"{self.value:g}") == self.value else repr(self.value)


@dataclass(frozen=True)
class Agreement(Number):
    """The share of pairs, of a token and an expert, that go in a step as they went in the last."""

    what: ClassVar[str] = "agreement"
    most: ClassVar[float] = 1


#: Of `dit-moe-tiny`, with trained weights, it is .97 in 50 steps and .93 in 20.
MOSTLY = Agreement(0.95)
