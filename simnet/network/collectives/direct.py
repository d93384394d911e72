"""Algorithms in which every rank talks to every other by itself."""

from __future__ import annotations

from collections.abc import Sequence

from simnet.network.collectives.flow import Flow, Round, Sizes, backwards, to_next
from traces.errors import InputError

# Closed forms: letters as in ring.py. Messages that one rank sends at once share its link.


def send(ranks: Sequence[int], nbytes: float) -> list[Round]:
    """One flow from the first rank to the second: a + s/B."""
    src, dst = ranks
    return [[Flow(src, dst, nbytes)]]


def all_gather(ranks: Sequence[int], nbytes: float) -> list[Round]:
    """One round: every rank sends its shard to all others at once.

    Time a + (n - 1)s/B.
    """
    if len(ranks) == 1:
        return []
    return [[Flow(src, dst, nbytes) for src in ranks for dst in ranks if src != dst]]


def all_to_all(ranks: Sequence[int], nbytes: float) -> list[Round]:
    """One round: every rank sends 1/n of its value to each other at once.

    Time a + (n - 1)/n s/B: as grouped sends and receives go.
    """
    return all_gather(ranks, nbytes / len(ranks))


def reduce_scatter(ranks: Sequence[int], nbytes: float) -> list[Round]:
    """An all-to-all, and every rank adds up what it got.

    Time a + (n - 1)/n s/B: Thakur et al. 2005, section 4.4, without its order of pairs.
    """
    return all_to_all(ranks, nbytes)


def all_reduce(ranks: Sequence[int], nbytes: float) -> list[Round]:
    """A reduce-scatter, then an all-gather of what it left: two rounds.

    Time 2(a + (n - 1)/n s/B).
    """
    return [*reduce_scatter(ranks, nbytes), *all_gather(ranks, nbytes / len(ranks))]


def broadcast(ranks: Sequence[int], nbytes: float) -> list[Round]:
    """One round: the root sends to all others at once.

    Time a + (n - 1)s/B.
    """
    root, *others = ranks
    return [[Flow(root, rank, nbytes) for rank in others]] if others else []


def reduce(ranks: Sequence[int], nbytes: float) -> list[Round]:
    """One round: all others send their whole values to the root, which adds them up.

    Time a + (n - 1)s/B.
    """
    return backwards(broadcast(ranks, nbytes))


def gather(ranks: Sequence[int], nbytes: float) -> list[Round]:
    """The same messages, which the root keeps apart: a + (n - 1)s/B."""
    return reduce(ranks, nbytes)


def scatter(ranks: Sequence[int], nbytes: float) -> list[Round]:
    """One round: the root sends 1/n of its value to each other at once.

    Time a + (n - 1)/n s/B.
    """
    return broadcast(ranks, nbytes / len(ranks))


def pairwise_all_to_all(ranks: Sequence[int], nbytes: float) -> list[Round]:
    """n - 1 rounds; in round k every rank sends 1/n of its value to the rank k places on.

    Time (n - 1)(a + s/(nB)): Thakur et al. 2005, section 4.3.
    """
    part = nbytes / len(ranks)
    return [to_next(ranks, part, by=distance) for distance in range(1, len(ranks))]


def pairwise_reduce_scatter(ranks: Sequence[int], nbytes: float) -> list[Round]:
    """A pairwise all-to-all, and every rank adds to its part what it gets.

    Time (n - 1)(a + s/(nB)): Thakur et al. 2005, section 4.4.
    """
    return pairwise_all_to_all(ranks, nbytes)


def all_to_all_of(ranks: Sequence[int], sizes: Sizes) -> list[Round]:
    """One round with a message for each pair of ranks that has bytes to move.

    Time at least a + the largest sum of a row or column, without the diagonal, over B. Raises
    InputError where `sizes` is not one row and one column for each rank, of 0 bytes or more.
    """
    rounds = pairwise_all_to_all_of(ranks, sizes)
    return [[flow for flows in rounds for flow in flows]] if rounds else []


def pairwise_all_to_all_of(ranks: Sequence[int], sizes: Sizes) -> list[Round]:
    """Up to n - 1 rounds; in round k every rank sends to the rank k places on, if it has bytes.

    Time at most the sum over k of a + the largest message of round k over B: a rank need not wait
    for others' messages. Raises InputError as all_to_all_of does.
    """
    n = len(ranks)
    check_sizes(sizes, n)
    rounds = (
        [
            Flow(ranks[row], ranks[(row + distance) % n], sizes[row][(row + distance) % n])
            for row in range(n)
            if sizes[row][(row + distance) % n]
        ]
        for distance in range(1, n)
    )
    return [flows for flows in rounds if flows]


def check_sizes(sizes: Sizes, n: int) -> None:
    """Raise InputError where they are not one row and one column for each of n ranks, from 0 up."""
    if len(sizes) != n or any(len(row) != n for row in sizes):
        raise InputError(
            f"all_to_all: sizes has {len(sizes)} rows of {sorted({len(row) for row in sizes})} "
            f"columns, expected {n} of {n}: one for each rank"
        )
    for place, row in enumerate(sizes):
        for other, nbytes in enumerate(row):
            if not nbytes >= 0:
                raise InputError(f"all_to_all: sizes[{place}][{other}] is {nbytes}, expected >= 0")
