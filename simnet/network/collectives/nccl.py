"""The algorithms that NCCL runs, and its way of choosing between two: an estimate of each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from simnet.network.collectives import direct, ring, tree
from simnet.network.collectives.flow import Lowering, Round, Sizes
from simnet.network.collectives.overlay import pipelined
from simnet.network.path import Paths
from traces.units import bits

#: More chunks only cost events: filling a pipeline of k rounds with c chunks takes k/c of its time.
MOST_CHUNKS = 256

_PLAIN: dict[str, Lowering] = {
    "send": direct.send,
    "all_gather": ring.all_gather,
    "reduce_scatter": ring.reduce_scatter,
    "all_to_all": direct.all_to_all,  # grouped sends and receives, and so:
    "gather": direct.gather,
    "scatter": direct.scatter,
}

_CHAINS: dict[str, Lowering] = {"broadcast": ring.broadcast, "reduce": ring.reduce}
_BARRIER_BYTES = 4  # torch makes a barrier of an all-reduce of one float


class Bottleneck(NamedTuple):
    """The worst of some paths: what an algorithm in lockstep over all of them is as fast as."""

    message_s: float  # that each message costs beside its bytes
    rate_bps: float

    def seconds(self, messages: float, nbytes: float) -> float:
        """The alpha-beta model: so many messages in a row, with so many bytes together."""
        return messages * self.message_s + bits(nbytes) / self.rate_bps


def neighbours(ranks: Sequence[int], paths: Paths) -> Bottleneck:
    """The worst of the paths from each rank to the next, as if they shared no link."""
    ways = [paths.path(ranks[place - 1], rank) for place, rank in enumerate(ranks)]
    return Bottleneck(
        max(way.message_s + way.latency_s + way.ready_s for way in ways),
        min(way.alone_bps for way in ways),
    )


def chunks(steps: int, nbytes: float, worst: Bottleneck) -> int:
    """In how many a pipeline of so many steps, each with all the bytes, is fastest.

    (steps + c - 1)(a + s/(cB)) is least where c² = (steps - 1)s/(aB): Sanders, Speck, Träff 2009,
    section 2. NCCL's own slices are no larger than 512 KiB, and several are under way at a time, so
    that their latencies overlap; a round here waits for the one before, so that larger ones do as
    well.
    """
    if not worst.message_s:
        return MOST_CHUNKS
    best = math.sqrt((steps - 1) * worst.seconds(0, nbytes) / worst.message_s)
    return max(1, min(MOST_CHUNKS, round(best)))


@dataclass(frozen=True)
class Nccl:
    """Rings, but for an all-to-all, and for an all-reduce when a double tree is faster.

    The estimates, with n ranks, s bytes, and a and B of the worst path between neighbours:
    2(n - 1)(a + s/(nB)) for a ring; for two trees of height h = lg n, in the best number c of
    chunks, (2h + c - 1)(a + 2s/(cB)). A broadcast, or a reduce, is a chain in the best number.
    As NCCL's own tuning does, they look at no other traffic.
    """

    name: str = "nccl"

    def rounds(self, kind: str, ranks: Sequence[int], nbytes: float, paths: Paths) -> list[Round]:
        """See Selection."""
        if len(ranks) == 1:
            return []
        if kind in _PLAIN:
            return _PLAIN[kind](ranks, nbytes)
        worst = neighbours(ranks, paths)
        if kind in _CHAINS:
            count = chunks(len(ranks) - 1, nbytes, worst)
            return pipelined(_CHAINS[kind], count)(ranks, nbytes)
        return _all_reduce(ranks, _BARRIER_BYTES if kind == "barrier" else nbytes, worst)

    def uneven(self, ranks: Sequence[int], sizes: Sizes) -> list[Round]:
        """See Selection: grouped sends and receives too."""
        return direct.all_to_all_of(ranks, sizes)


def _all_reduce(ranks: Sequence[int], nbytes: float, worst: Bottleneck) -> list[Round]:
    steps = 2 * tree.height(len(ranks))
    count = chunks(steps, 2 * nbytes, worst)
    trees_s = worst.seconds(steps + count - 1, (steps + count - 1) * 2 * nbytes / count)
    hops = 2 * (len(ranks) - 1)
    if trees_s < worst.seconds(hops, hops * nbytes / len(ranks)):
        return pipelined(tree.double_all_reduce, count)(ranks, nbytes)
    return ring.all_reduce(ranks, nbytes)


#: The one there is.
NCCL = Nccl()
