"""How many bytes a rank puts on the wire for a transfer: the one place that knows it by kind."""

from __future__ import annotations

from collections.abc import Sequence


def wire_bytes(
    kind: str,
    nbytes: int,
    ranks: Sequence[int],
    rank: int,
    *,
    root: int = -1,
    parts: Sequence[int] = (),
) -> int:
    """Bytes that `rank`, one of the group's `ranks`, sends; `nbytes` is its row's `bytes`.

    `root` is that of a broadcast; `parts` are those of an all-to-all whose parts differ. By the
    bandwidth-optimal algorithm of each kind: ring all-gather and pairwise all-to-all send every
    other member's part once; ring all-reduce is a reduce-scatter and an all-gather (Thakur et al.
    2005, "Optimization of Collective Communication Operations in MPICH", section 4); a broadcast
    goes along a chain from the root and a reduce along one to it (Sanders, Speck & Träff 2009,
    section 2); a root gathers from each member, and scatters to each, by itself.
    """
    n = len(ranks)
    others = n - 1
    if others == 0:
        return 0
    if parts:
        return nbytes - parts[ranks.index(rank)]
    is_root = rank == root
    ends_chain = root >= 0 and (ranks.index(rank) + 1) % n == ranks.index(root)
    return {
        "send": nbytes,
        "recv": 0,
        "shift": nbytes,
        "all_gather": others * nbytes,
        "all_reduce": 2 * others * nbytes // n,
        "all_to_all": others * nbytes // n,
        "reduce_scatter": others * nbytes // n,
        "broadcast": 0 if ends_chain else nbytes,
        "reduce": 0 if is_root else nbytes,
        "gather": 0 if is_root else nbytes,
        "scatter": others * nbytes // n if is_root else 0,
        "barrier": 0,
    }[kind]
