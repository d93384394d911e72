"""Algorithms in which every rank talks to every other by itself."""

from __future__ import annotations

from collections.abc import Sequence

from simnet.network.collectives.flow import Flow, Round, to_next


def send(ranks: Sequence[int], nbytes: float) -> list[Round]:
    """One flow from the first rank to the second."""
    src, dst = ranks
    return [[Flow(src, dst, nbytes)]]


def pairwise_all_to_all(ranks: Sequence[int], nbytes: float) -> list[Round]:
    """n - 1 rounds; in round k every rank sends 1/n of its value to the rank k places on."""
    part = nbytes / len(ranks)
    return [to_next(ranks, part, by=distance) for distance in range(1, len(ranks))]
