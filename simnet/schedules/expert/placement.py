"""Which rank has which experts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

from traces.errors import InputError, unknown


@dataclass(frozen=True)
class Placement:
    """All experts in the order of the ranks that have them, as many for each rank."""

    name: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """One of strided (rank r of P has r, r + P, ..., as published) and blocked."""
        if text not in _NAMES:
            raise unknown("placement", text, _NAMES)
        return cls(text)

    def order(self, experts: int, ranks: int) -> tuple[int, ...]:
        """The experts of rank 0, then those of rank 1, and so on."""
        if self.name == "blocked":
            return tuple(range(experts))
        return tuple(expert for rank in range(ranks) for expert in range(rank, experts, ranks))

    def of(self, rank: int, experts: int, ranks: int) -> tuple[int, ...]:
        """A rank's."""
        each = experts // ranks
        return self.order(experts, ranks)[rank * each : (rank + 1) * each]

    def __str__(self) -> str:
        return self.name


_NAMES = ("strided", "blocked")
STRIDED = Placement("strided")


def check_experts(name: str, experts: int, ranks: int) -> None:
    """Raise InputError where the ranks cannot share the experts evenly."""
    if experts % ranks:
        fits = [str(n) for n in range(1, experts + 1) if experts % n == 0]
        raise InputError(
            f"{name}: {experts} experts, which {ranks} ranks cannot share evenly; use "
            f"{', '.join(fits)} ranks"
        )
