"""Which layers stay synchronous (DICE, section "Selective Synchronization")."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Self

from simnet.schedules.expert.choice import Choice
from traces.errors import InputError

#: Of a layer's number, at most.
_DIGITS = 4
_HELP = "none, deep, shallow, staggered, all, or layers such as 0-3.9"


@dataclass(frozen=True)
class Layers(Choice):
    """Some layers of any model, by the papers' names or by number.

    `deep` is the second half, `shallow` the first, `staggered` every other one. (The released
    code's option names the layers that are not synchronous: "shallow" there is `deep` here.)
    """

    names: ClassVar[tuple[str, ...]] = ("none", "deep", "shallow", "staggered", "all")

    @classmethod
    def parse(cls, text: str) -> Self:
        """Raises InputError for what is no such text."""
        layers = cls(text)
        if text not in cls.names:
            layers.numbers()
        return layers

    def numbers(self) -> frozenset[int]:
        """Those listed by number."""
        listed: set[int] = set()
        for part in self.name.split("."):
            first, dash, last = part.partition("-")
            ends = [first, last if dash else first]
            fits = all(end.isdecimal() and len(end) <= _DIGITS for end in ends)
            if not fits or int(ends[0]) > int(ends[1]):
                raise InputError(f"synchronous layers are {self.name!r}, expected {_HELP}")
            listed.update(range(int(ends[0]), int(ends[1]) + 1))
        return frozenset(listed)

    def of(self, layers: int) -> frozenset[int]:
        """Of a model that has so many layers; raises InputError for one that it has not."""
        everywhere = range(layers)
        match self.name:
            case "none":
                return frozenset()
            case "all":
                return frozenset(everywhere)
            case "deep":
                return frozenset(everywhere[layers // 2 :])
            case "shallow":
                return frozenset(everywhere[: layers // 2])
            case "staggered":
                return frozenset(everywhere[1::2])
        listed = self.numbers()
        if not listed <= set(everywhere):
            raise InputError(
                f"synchronous layers are {self.name!r}, but the last layer is {layers - 1}"
            )
        return listed


NONE, DEEP = Layers("none"), Layers("deep")
