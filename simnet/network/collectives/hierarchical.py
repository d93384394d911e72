"""Hierarchical algorithms: little crosses between hosts, for inside each there is a faster way."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from simnet.network.collectives import direct, ring, tree
from simnet.network.collectives.flow import Lowering, Round, backwards
from simnet.network.collectives.overlay import together
from traces.errors import InputError

# Closed forms: letters as in ring.py, for h hosts of g ranks, n = hg. Inside a host a and B hold,
# between hosts b and C, for each rank: where a host's ranks share a link out, C is a g-th of its.

#: The ranks of each host; the root is the first of the first host.
Groups = Sequence[Sequence[int]]


def all_gather(groups: Groups, nbytes: float) -> list[Round]:
    """Across hosts in rings of ranks at the same place, then in a ring inside each host.

    Time (h - 1)(b + s/C) + (g - 1)(a + hs/B).
    """
    across = together(ring.all_gather(lane, nbytes) for lane in _lanes(groups))
    inside = together(ring.all_gather(group, nbytes * len(groups)) for group in groups)
    return [*across, *inside]


def reduce_scatter(groups: Groups, nbytes: float) -> list[Round]:
    """In a ring inside each host, then what is left across hosts.

    Time (g - 1)(a + s/(gB)) + (h - 1)(b + s/(nC)).
    """
    left = nbytes / len(groups[0])
    inside = together(ring.reduce_scatter(group, nbytes) for group in groups)
    across = together(ring.reduce_scatter(lane, left) for lane in _lanes(groups))
    return [*inside, *across]


def all_reduce(groups: Groups, nbytes: float) -> list[Round]:
    """Reduce-scatter inside each host, all-reduce across of what is left, all-gather inside.

    Time 2(g - 1)(a + s/(gB)) + 2(h - 1)(b + s/(nC)): Cho et al. 2019, "BlueConnect:
    Decomposing all-reduce for deep learning on heterogeneous network hierarchy".
    """
    left = nbytes / len(groups[0])
    inside = together(ring.reduce_scatter(group, nbytes) for group in groups)
    across = together(ring.all_reduce(lane, left) for lane in _lanes(groups))
    back = together(ring.all_gather(group, left) for group in groups)
    return [*inside, *across, *back]


def broadcast(groups: Groups, nbytes: float) -> list[Round]:
    """A binomial tree over the first ranks of all hosts, then one inside each host.

    Time lg h (b + s/C) + lg g (a + s/B) where both are powers of two, and C is the whole link.
    """
    across = tree.broadcast([group[0] for group in groups], nbytes)
    inside = together(tree.broadcast(group, nbytes) for group in groups)
    return [*across, *inside]


def reduce(groups: Groups, nbytes: float) -> list[Round]:
    """The broadcast backwards, in the same time."""
    return backwards(broadcast(groups, nbytes))


def all_to_all(groups: Groups, nbytes: float) -> list[Round]:
    """Inside each host to the rank at the receiver's place, then across to the receiver's host.

    Messages across are g times larger and fewer than without. Time (g - 1)(a + s/(gB)) +
    (h - 1)(b + s/(hC)).
    """
    inside = together(direct.pairwise_all_to_all(group, nbytes) for group in groups)
    across = together(direct.pairwise_all_to_all(lane, nbytes) for lane in _lanes(groups))
    return [*inside, *across]


#: By kind of exchange.
HIERARCHICAL: dict[str, Callable[[Groups, float], list[Round]]] = {
    "all_gather": all_gather,
    "all_reduce": all_reduce,
    "reduce_scatter": reduce_scatter,
    "all_to_all": all_to_all,
    "broadcast": broadcast,
    "reduce": reduce,
}


def on_hosts(kind: str, ranks_per_host: int) -> Lowering:
    """The algorithm for ranks that are numbered host by host, so many on each.

    The lowering raises InputError where some hosts have more of its ranks than others.
    """

    def lowering(ranks: Sequence[int], nbytes: float) -> list[Round]:
        return HIERARCHICAL[kind](hosts(ranks, ranks_per_host), nbytes)

    return lowering


def hosts(ranks: Sequence[int], ranks_per_host: int) -> list[list[int]]:
    """The ranks of each host, in their order. Raises InputError unless all have as many."""
    groups: dict[int, list[int]] = {}
    for rank in ranks:
        groups.setdefault(rank // ranks_per_host, []).append(rank)
    if len({len(group) for group in groups.values()}) > 1:
        counts = ", ".join(f"{len(group)} on host {host}" for host, group in groups.items())
        raise InputError(
            f"hierarchical:{ranks_per_host}: {len(ranks)} ranks do not divide into whole hosts: "
            f"{counts}; choose another number of ranks per host, or another algorithm"
        )
    return list(groups.values())


def _lanes(groups: Groups) -> list[tuple[int, ...]]:
    """The ranks at the same place of each host."""
    return list(zip(*groups, strict=True))
