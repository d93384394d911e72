"""All-to-alls of parts that differ in size, by the algorithms for equal ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from simnet.network.collectives import direct, ring
from simnet.network.collectives.flow import Flow, Lowering, Round, Sizes, Uneven
from simnet.network.collectives.hierarchical import hosts
from simnet.network.collectives.overlay import staggered, together

# Equal parts make the rounds of the algorithm for these, and a message without bytes is none.


def ring_all_to_all(ranks: Sequence[int], sizes: Sizes) -> list[Round]:
    """Block after block round the ring, each passed on until it is there: up to n(n - 1)/2 rounds.

    Raises InputError as direct.all_to_all_of does.
    """
    n = len(ranks)
    direct.check_sizes(sizes, n)
    rounds = []
    for distance in range(1, n):
        for passed in range(distance):
            flows = []
            for place, rank in enumerate(ranks):
                origin = (place - passed) % n
                nbytes = sizes[origin][(origin + distance) % n]
                flows.append(Flow(rank, ranks[(place + 1) % n], nbytes))
            rounds.append([flow for flow in flows if flow.nbytes])
    return [flows for flows in rounds if flows]


def on_hosts(ranks_per_host: int) -> Uneven:
    """Pairwise inside each host to the receiver's place, then pairwise across to its host.

    For ranks as hierarchical.on_hosts takes them. The lowering raises InputError as that one's
    does, and as direct.all_to_all_of does.
    """

    def lowering(ranks: Sequence[int], sizes: Sizes) -> list[Round]:
        direct.check_sizes(sizes, len(ranks))
        places = {rank: place for place, rank in enumerate(ranks)}
        groups = [[places[rank] for rank in host] for host in hosts(ranks, ranks_per_host)]
        lanes = list(zip(*groups, strict=True))

        inside = together(
            direct.pairwise_all_to_all_of(
                [ranks[i] for i in group],
                [[sum(sizes[i][k] for k in lane) for lane in lanes] for i in group],
            )
            for group in groups
        )
        across = together(
            direct.pairwise_all_to_all_of(
                [ranks[i] for i in lane],
                [[sum(sizes[k][j] for k in group) for j in lane] for group in groups],
            )
            for lane in lanes
        )
        return [*inside, *across]

    return lowering


def pipelined(lower: Uneven, chunks: int) -> Uneven:
    """The same for each of so many equal chunks of every part, each one a round later."""

    def lowering(ranks: Sequence[int], sizes: Sizes) -> list[Round]:
        return staggered(lower(ranks, divided(sizes, chunks)), chunks)

    return lowering


def divided(sizes: Sizes, by: float) -> list[list[float]]:
    """Each number of bytes divided by this."""
    return [[nbytes / by for nbytes in row] for row in sizes]


#: By the algorithm for equal parts; for hierarchical ones see on_hosts.
UNEVEN: Mapping[Lowering, Uneven] = {
    direct.all_to_all: direct.all_to_all_of,
    direct.pairwise_all_to_all: direct.pairwise_all_to_all_of,
    ring.all_to_all: ring_all_to_all,
}
