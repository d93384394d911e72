"""Algorithms in lg n rounds, with partners at distances 1, 2, 4, ...: few latencies, full rate."""

from __future__ import annotations

from collections.abc import Sequence

from simnet.network.collectives.flow import Flow, Round, backwards, to_next

# Closed forms: letters as in ring.py; lg is the logarithm to base 2, rounded up.


def all_gather(ranks: Sequence[int], nbytes: float) -> list[Round]:
    """Recursive doubling: in round k, ranks at distance 2^k exchange all that they have.

    Time lg n a + (n - 1)s/B: Thakur et al. 2005, section 4.1. Where n is no power of two, Bruck's
    algorithm, which takes the same (Bruck et al. 1997).
    """
    if not _is_power(len(ranks)):
        return bruck_all_gather(ranks, nbytes)
    return [_swap(ranks, distance, distance * nbytes) for distance in _distances(len(ranks))]


def bruck_all_gather(ranks: Sequence[int], nbytes: float) -> list[Round]:
    """For any n: in round k each rank sends what it has, or what is still missing, 2^k places back.

    Time lg n a + (n - 1)s/B: Bruck et al. 1997, "Efficient algorithms for all-to-all communications
    in multiport message-passing systems", section 4.
    """
    n = len(ranks)
    return [
        to_next(ranks, min(distance, n - distance) * nbytes, by=-distance)
        for distance in _distances(n)
    ]


def reduce_scatter(ranks: Sequence[int], nbytes: float) -> list[Round]:
    """Recursive halving: the all-gather backwards, with sums instead of copies, for any n.

    Time lg n a + (n - 1)/n s/B: Thakur et al. 2005, section 4.4; Chan et al. 2007, section 4.1.
    """
    return backwards(all_gather(ranks, nbytes / len(ranks)))


def all_reduce(ranks: Sequence[int], nbytes: float) -> list[Round]:
    """Recursive halving, then recursive doubling: 2 lg n rounds.

    Time 2 lg n a + 2(n - 1)/n s/B: Thakur et al. 2005, section 4.5 (Rabenseifner). Where n is no
    power of two but 2^m + r, the first 2r ranks pair up: one gives all it has to the other first
    and gets the result last. Time then 2(a + s/B) more than for 2^m ranks.
    """
    extra = len(ranks) - (1 << len(ranks).bit_length() - 1)
    folded, into = ranks[: 2 * extra : 2], ranks[1 : 2 * extra : 2]
    core = [*into, *ranks[2 * extra :]]
    fold = [[Flow(src, dst, nbytes) for src, dst in zip(folded, into, strict=True)]] * bool(extra)
    gathered = all_gather(core, nbytes / len(core))
    return [*fold, *backwards(gathered), *gathered, *backwards(fold)]


def barrier(ranks: Sequence[int], nbytes: float) -> list[Round]:
    """Dissemination: in round k each rank tells the one 2^k places on of all that it heard of.

    Time lg n (a + s/B), where s is as good as none: Hensgen, Finkel, Manber 1988, "Two algorithms
    for barrier synchronization".
    """
    return [to_next(ranks, nbytes, by=distance) for distance in _distances(len(ranks))]


def _distances(n: int) -> list[int]:
    """1, 2, 4, ... below n."""
    return [1 << k for k in range((n - 1).bit_length())]


def _swap(ranks: Sequence[int], distance: int, nbytes: float) -> Round:
    """Partners whose places differ in this one bit send to each other."""
    return [Flow(rank, ranks[place ^ distance], nbytes) for place, rank in enumerate(ranks)]


def _is_power(n: int) -> bool:
    return n & (n - 1) == 0
