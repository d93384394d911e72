"""Ring algorithms: every rank talks to its neighbours only, and all links are busy all the time."""

from __future__ import annotations

from collections.abc import Sequence

from simnet.network.collectives.flow import Round, to_next


def all_gather(ranks: Sequence[int], nbytes: float) -> list[Round]:
    """n - 1 rounds; in each, every rank passes on the part that it got last.

    Time (n - 1)(latency + nbytes / rate): Thakur et al. 2005, section 4.1.
    """
    return [to_next(ranks, nbytes) for _ in ranks[1:]]


def all_reduce(ranks: Sequence[int], nbytes: float) -> list[Round]:
    """A reduce-scatter and an all-gather of 1/n of the value: 2(n - 1) rounds.

    Thakur et al. 2005, section 4.5 (Rabenseifner's decomposition, ring in both phases).
    """
    return [to_next(ranks, nbytes / len(ranks)) for _ in range(2 * (len(ranks) - 1))]
