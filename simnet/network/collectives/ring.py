"""Ring algorithms: every rank talks to its neighbours only, and all links are busy all the time."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from simnet.network.collectives import direct
from simnet.network.collectives.flow import Flow, Round, backwards, to_next

# Closed forms: n ranks of s bytes each; a is the time that a message takes beside its bytes
# ("alpha"), B the rate of the ranks' links, which are full-duplex, their own, and idle.


def all_gather(ranks: Sequence[int], nbytes: float) -> list[Round]:
    """n - 1 rounds; in each, every rank passes on the part that it got last.

    Time (n - 1)(a + s/B): Thakur, Rabenseifner, Gropp 2005, section 4.1.
    """
    return [to_next(ranks, nbytes)] * (len(ranks) - 1)


def reduce_scatter(ranks: Sequence[int], nbytes: float) -> list[Round]:
    """The all-gather of 1/n of the value, backwards: parts are added to on their way.

    Time (n - 1)(a + s/(nB)): Chan et al. 2007, section 4.2 (bucket algorithm).
    """
    return all_gather(ranks, nbytes / len(ranks))


def all_reduce(ranks: Sequence[int], nbytes: float) -> list[Round]:
    """A reduce-scatter, then an all-gather of what it left: 2(n - 1) rounds.

    Time 2(n - 1)(a + s/(nB)): Thakur et al. 2005, section 4.5 (Rabenseifner's decomposition, ring
    in both phases).
    """
    return [to_next(ranks, nbytes / len(ranks))] * (2 * (len(ranks) - 1))


def all_to_all(ranks: Sequence[int], nbytes: float) -> list[Round]:
    """n(n - 1)/2 rounds: a block for the rank d places on is passed on d times, block by block.

    Time n(n - 1)/2 (a + s/(nB)), as in ASTRA-sim: for where only neighbours are linked.
    """
    return [to_next(ranks, nbytes / len(ranks))] * (len(ranks) * (len(ranks) - 1) // 2)


def broadcast(ranks: Sequence[int], nbytes: float) -> list[Round]:
    """A chain: each rank passes the whole value on to the next. Made to be pipelined.

    Time (n - 1)(a + s/B), and in c chunks (n + c - 2)(a + s/(cB)): Sanders, Speck, Träff 2009,
    section 2.
    """
    return [[Flow(src, dst, nbytes)] for src, dst in pairwise(ranks)]


def reduce(ranks: Sequence[int], nbytes: float) -> list[Round]:
    """The chain backwards: each rank adds its value to what it got, the root last.

    Time as for `broadcast`: Sanders, Speck, Träff 2009, section 2.
    """
    return backwards(broadcast(ranks, nbytes))


def scattered_reduce(ranks: Sequence[int], nbytes: float) -> list[Round]:
    """A reduce-scatter, and all others send the root their parts of the sum at once.

    Time (n - 1)(a + s/(nB)) + a + (n - 1)/n s/B: Thakur et al. 2005, section 4.5.
    """
    collected = direct.gather(ranks, nbytes / len(ranks))
    return [*reduce_scatter(ranks, nbytes), *collected]
