"""Tree algorithms: the value fans out from a root, or is reduced towards it."""

from __future__ import annotations

from collections.abc import Sequence

from simnet.network.collectives.flow import Flow, Round, backwards
from simnet.network.collectives.overlay import together

# Closed forms: letters as in ring.py; lg is the logarithm to base 2, rounded up.


def broadcast(ranks: Sequence[int], nbytes: float) -> list[Round]:
    """A binomial tree: lg n rounds; in each, all that have the value send it to as many others.

    Time lg n (a + s/B) where n is a power of two, else less by some latencies, because a sender
    needs not wait for what it sent to arrive: the largest over all places p > 0 of
    bits(p) s/B + ones(p) a, with the length and the ones of p in binary. Thakur et al. 2005,
    section 4.2.
    """
    n = len(ranks)
    rounds = []
    have = 1
    while have < n:
        pairs = zip(ranks[:have], ranks[have : 2 * have], strict=False)
        rounds.append([Flow(src, dst, nbytes) for src, dst in pairs])
        have *= 2
    return rounds


def eager_broadcast(ranks: Sequence[int], nbytes: float) -> list[Round]:
    """The same tree; a rank that has the value sends it to all its children at once.

    Time lg n (lg n + 1)/2 s/B + lg n a where n is a power of two: the root's lg n children have the
    value when all of them have, and the one that was first in `broadcast` has one child less.
    """
    rounds: list[Round] = [[] for _ in range(height(len(ranks)))]
    for place in range(1, len(ranks)):
        parent = place - (1 << place.bit_length() - 1)
        depth = place.bit_count()
        rounds[depth - 1].append(Flow(ranks[parent], ranks[place], nbytes))
    return rounds


def reduce(ranks: Sequence[int], nbytes: float) -> list[Round]:
    """The broadcast backwards: lg n (a + s/B), for any n."""
    return backwards(broadcast(ranks, nbytes))


def all_reduce(ranks: Sequence[int], nbytes: float) -> list[Round]:
    """A reduce up a binomial tree and a broadcast down: 2 lg n rounds of the whole value.

    Time 2 lg n (a + s/B), or less as for `broadcast`: Thakur et al. 2005, section 4.5; Chan et al.
    2007, section 4.1.
    """
    return [*reduce(ranks, nbytes), *broadcast(ranks, nbytes)]


def double_all_reduce(ranks: Sequence[int], nbytes: float) -> list[Round]:
    """Two binary trees, each for half of the value: inner ranks of one are leaves of the other.

    (For odd n all but one, which has one child in each.)

    Time with h = `height(n)`, in c chunks: at most (2h + c - 1)(a + 2s/(cB)), towards 2s/B for
    many chunks of a large value: as a ring, but with lg n latencies. Sanders, Speck, Träff 2009,
    "Two-tree algorithms for full bandwidth broadcast, reduction and scan", section 3; the shape of
    the trees is that of NCCL 2.4.
    """
    n = len(ranks)
    # The other tree has leaves where this one has inner ranks: mirrored, or moved on by one.
    other = list(reversed(ranks)) if n % 2 == 0 else [*ranks[1:], *ranks[:1]]
    down = together(_down(members, nbytes / 2) for members in (ranks, other))
    return [*backwards(down), *down]


def height(n: int) -> int:
    """Rounds from the root of one of the two trees to its last leaf: lg n, exactly rounded up."""
    return (n - 1).bit_length()


def _down(ranks: Sequence[int], nbytes: float) -> list[Round]:
    """A broadcast in the tree of `_parent`; each rank sends to all its children in one round."""
    n = len(ranks)
    rounds: list[Round] = [[] for _ in range(height(n))]
    for place in range(1, n):
        flow = Flow(ranks[_parent(place, n)], ranks[place], nbytes)
        rounds[_depth(place, n) - 1].append(flow)
    return rounds


def _parent(place: int, n: int) -> int:
    """In a binary tree that reads 0, 1, 2, ... from left to right; 0 is the root.

    Odd places are leaves (but the last one, where it has no even one above it).
    """
    bit = place & -place
    up = place ^ bit | bit << 1
    return up if up < n else place ^ bit


def _depth(place: int, n: int) -> int:
    depth = 0
    while place:
        place = _parent(place, n)
        depth += 1
    return depth
