"""Which rank has which experts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from simnet.schedules.expert.choice import Choice
from traces.errors import InputError


@dataclass(frozen=True)
class Placement(Choice):
    """All experts in the order of the ranks that have them, as many for each rank.

    `strided`: rank r of P has r, r + P and so on, as published; `blocked`: neighbours.
    """

    what: ClassVar[str] = "placement"
    names: ClassVar[tuple[str, ...]] = ("strided", "blocked")

    def order(self, experts: int, ranks: int) -> tuple[int, ...]:
        """The experts of rank 0, then those of rank 1, and so on."""
        if self.name == "blocked":
            return tuple(range(experts))
        return tuple(expert for rank in range(ranks) for expert in range(rank, experts, ranks))

    def of(self, rank: int, experts: int, ranks: int) -> tuple[int, ...]:
        """A rank's."""
        each = experts // ranks
        return self.order(experts, ranks)[rank * each : (rank + 1) * each]


STRIDED = Placement("strided")


def by_member(loads: Sequence[int], members: int) -> list[int]:
    """What falls to each member's experts, of what falls to each expert in their places."""
    each = len(loads) // members
    return [sum(loads[begin : begin + each]) for begin in range(0, len(loads), each)]


def check_experts(name: str, experts: int, ranks: int) -> None:
    """Raise InputError where the ranks cannot share the experts evenly."""
    if experts % ranks:
        fits = [str(n) for n in range(1, experts + 1) if experts % n == 0]
        raise InputError(
            f"{name}: {experts} experts, which {ranks} ranks cannot share evenly; use "
            f"{', '.join(fits)} ranks"
        )
