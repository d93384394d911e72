"""Which algorithm carries which collective."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

from simnet.network.collectives import direct, doubling, ring, tree
from simnet.network.collectives.flow import Lowering, Round, Sizes
from simnet.network.collectives.uneven import UNEVEN, divided
from simnet.network.path import Paths
from traces.errors import InputError, unknown


class Selection(Protocol):
    """Chooses an algorithm for an exchange."""

    @property
    def name(self) -> str:
        """For tables and files; `named.selection` makes a selection of it again."""
        ...

    def rounds(self, kind: str, ranks: Sequence[int], nbytes: float, paths: Paths) -> list[Round]:
        """The exchange as rounds of flows. `nbytes` is what one member brings."""
        ...

    def uneven(self, ranks: Sequence[int], sizes: Sizes) -> list[Round]:
        """An all-to-all of parts that differ, by the algorithm that equal ones would get."""
        ...


#: Every algorithm by kind of exchange and name; where `hierarchical` is one, see on_hosts.
ALGORITHMS: Mapping[str, Mapping[str, Lowering]] = {
    "send": {"direct": direct.send},
    "all_gather": {
        "ring": ring.all_gather,
        "direct": direct.all_gather,
        "doubling": doubling.all_gather,
        "bruck": doubling.bruck_all_gather,
    },
    "all_reduce": {
        "ring": ring.all_reduce,
        "direct": direct.all_reduce,
        "tree": tree.all_reduce,
        "double_tree": tree.double_all_reduce,
        "doubling": doubling.all_reduce,
    },
    "reduce_scatter": {
        "ring": ring.reduce_scatter,
        "direct": direct.reduce_scatter,
        "pairwise": direct.pairwise_reduce_scatter,
        "doubling": doubling.reduce_scatter,
        "all_reduce": ring.all_reduce,  # and everybody keeps its part
    },
    "all_to_all": {
        "pairwise": direct.pairwise_all_to_all,
        "direct": direct.all_to_all,
        "ring": ring.all_to_all,
    },
    "broadcast": {
        "tree": tree.broadcast,
        "eager-tree": tree.eager_broadcast,
        "chain": ring.broadcast,
        "direct": direct.broadcast,
    },
    "reduce": {
        "tree": tree.reduce,
        "chain": ring.reduce,
        "direct": direct.reduce,
        "scattered": ring.scattered_reduce,
    },
    "gather": {"direct": direct.gather},
    "scatter": {"direct": direct.scatter},
    "barrier": {"dissemination": doubling.barrier, "tree": tree.all_reduce},
}


def algorithms(kind: str) -> Mapping[str, Lowering]:
    """Those for a kind of exchange, by name; raises InputError for no such kind."""
    if kind not in ALGORITHMS:
        raise unknown("kind of exchange", kind, ALGORITHMS)
    return ALGORITHMS[kind]


@dataclass(frozen=True)
class Fixed:
    """Always the same algorithm for a kind of exchange."""

    name: str
    lowerings: Mapping[str, Lowering]

    def rounds(self, kind: str, ranks: Sequence[int], nbytes: float, paths: Paths) -> list[Round]:
        """See Selection."""
        del paths
        return self.lowerings[kind](ranks, nbytes)

    def uneven(self, ranks: Sequence[int], sizes: Sizes) -> list[Round]:
        """See Selection. Raises InputError where its algorithm is none of ours."""
        lower = self.lowerings.get("all_to_all")
        if lower is None or lower not in UNEVEN:
            raise InputError(
                f"selection {self.name!r} has no algorithm for an all-to-all of parts that differ; "
                "choose another selection"
            )
        return UNEVEN[lower](ranks, sizes)


@dataclass(frozen=True)
class Efficient:
    """Another selection, of which a kind of exchange reaches only a part of the links' rates.

    `efficiency`, by kind, is in (0, 1]: measured over predicted rate, of what is left when latency
    is taken away. Bytes on their way are divided by it. Raises InputError for a kind that there is
    not, and for a number outside.
    """

    selection: Selection
    efficiency: Mapping[str, float]

    def __post_init__(self) -> None:
        for kind, value in self.efficiency.items():
            algorithms(kind)
            if not 0 < value <= 1:
                raise InputError(f"efficiency of {kind} is {value}, expected above 0 and at most 1")

    @property
    def name(self) -> str:
        """The selection's, and each efficiency behind an @."""
        return ",".join(
            [self.selection.name, *(f"{kind}@{value}" for kind, value in self.efficiency.items())]
        )

    def rounds(self, kind: str, ranks: Sequence[int], nbytes: float, paths: Paths) -> list[Round]:
        """See Selection."""
        return self.selection.rounds(kind, ranks, nbytes / self.efficiency.get(kind, 1), paths)

    def uneven(self, ranks: Sequence[int], sizes: Sizes) -> list[Round]:
        """See Selection."""
        return self.selection.uneven(ranks, divided(sizes, self.efficiency.get("all_to_all", 1)))


@dataclass(frozen=True)
class Posted(Fixed):
    """The same, but that ranks post what posted.py says they do, each pair over one connection.

    What waits for a peer's readiness waits for all that the peer has been sending it. Kinds that
    posted.py has no program for go in rounds.
    """


#: What rings do no better, and gloo the same.
_BOTH: Mapping[str, Lowering] = {
    "gather": direct.gather,
    "scatter": direct.scatter,
    "barrier": doubling.barrier,
}

#: What uses bandwidth best on links of their own.
RING = Fixed(
    "ring",
    {
        "send": direct.send,
        "all_gather": ring.all_gather,
        "all_reduce": ring.all_reduce,
        "reduce_scatter": ring.reduce_scatter,
        "all_to_all": direct.pairwise_all_to_all,
        "broadcast": ring.broadcast,
        "reduce": ring.reduce,
        **_BOTH,
    },
)

#: What torch.distributed's gloo backend runs (gloo as of 2025). Its all-gather and all-reduce keep
#: two halves of a part under way, so that one's latency may hide behind the other's bytes: that is
#: left out here. A rank's sends of its broadcast, and of its all-to-all, are all posted at once
#: (four ranks' broadcast was measured at 2.8 to 2.9 s/B: docs/calibration.md). It has no
#: reduce-scatter: torch's backend does an all-reduce of a copy and keeps a part. Its reduce is a
#: reduce-scatter whose parts the root collects; its barrier is dissemination.
GLOO = Fixed(
    "gloo",
    {
        "send": direct.send,
        "all_gather": ring.all_gather,
        "all_reduce": ring.all_reduce,
        "reduce_scatter": ring.all_reduce,
        "all_to_all": direct.all_to_all,
        "broadcast": tree.eager_broadcast,
        "reduce": ring.scattered_reduce,
        **_BOTH,
    },
)

#: The same, operation by operation: who is late decides whose data goes first.
GLOO_POSTED = Posted("gloo-posted", GLOO.lowerings)
