"""Which algorithm carries which collective."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from simnet.network.collectives import direct, ring
from simnet.network.collectives.flow import Lowering, Round
from simnet.network.path import Paths


class Selection(Protocol):
    """Chooses an algorithm for an exchange."""

    @property
    def name(self) -> str:
        """For tables and files."""
        ...

    def rounds(self, kind: str, ranks: Sequence[int], nbytes: float, paths: Paths) -> list[Round]:
        """The exchange as rounds of flows. `nbytes` is what one member brings."""
        ...


@dataclass(frozen=True)
class Fixed:
    """Always the same algorithm for a kind of exchange."""

    name: str
    lowerings: Mapping[str, Lowering]

    def rounds(self, kind: str, ranks: Sequence[int], nbytes: float, paths: Paths) -> list[Round]:
        """See Selection."""
        del paths
        return self.lowerings[kind](ranks, nbytes)


#: What uses bandwidth best on links of their own.
RING = Fixed(
    "ring",
    {
        "send": direct.send,
        "all_gather": ring.all_gather,
        "all_reduce": ring.all_reduce,
        "all_to_all": direct.pairwise_all_to_all,
    },
)
