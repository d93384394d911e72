"""Collectives lowered to point-to-point flows: pure functions of who takes part and how much."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple


class Flow(NamedTuple):
    """So many bytes from one rank to another."""

    src: int
    dst: int
    nbytes: float


#: Flows that go at the same time; a rank enters a round when its flows of the last one ended.
Round = list[Flow]


def point_to_point(ranks: Sequence[int], nbytes: float) -> list[Round]:
    """One flow from the first rank to the second."""
    src, dst = ranks
    return [[Flow(src, dst, nbytes)]]


def ring_all_gather(ranks: Sequence[int], nbytes: float) -> list[Round]:
    """n - 1 rounds; in each, every rank passes on the part that it got last.

    Time (n - 1)(latency + nbytes / rate): Thakur et al. 2005, section 4.1.
    """
    return [_to_next(ranks, nbytes) for _ in ranks[1:]]


def ring_all_reduce(ranks: Sequence[int], nbytes: float) -> list[Round]:
    """A reduce-scatter and an all-gather of 1/n of the value: 2(n - 1) rounds.

    Thakur et al. 2005, section 4.5 (Rabenseifner's decomposition, ring in both phases).
    """
    return [_to_next(ranks, nbytes / len(ranks)) for _ in range(2 * (len(ranks) - 1))]


def pairwise_all_to_all(ranks: Sequence[int], nbytes: float) -> list[Round]:
    """n - 1 rounds; in round k every rank sends 1/n of its value to the rank k places on."""
    part = nbytes / len(ranks)
    return [_to_next(ranks, part, by=distance) for distance in range(1, len(ranks))]


def _to_next(ranks: Sequence[int], nbytes: float, by: int = 1) -> Round:
    return [
        Flow(rank, ranks[(place + by) % len(ranks)], nbytes) for place, rank in enumerate(ranks)
    ]


#: How each kind of transfer is carried. `nbytes` is what one member brings.
LOWERED: dict[str, Callable[[Sequence[int], float], list[Round]]] = {
    "send": point_to_point,
    "all_gather": ring_all_gather,
    "all_reduce": ring_all_reduce,
    "all_to_all": pairwise_all_to_all,
}
