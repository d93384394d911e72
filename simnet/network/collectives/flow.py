"""What collectives are made of: rounds of point-to-point flows."""

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

#: One algorithm: the rounds for these ranks, when each member brings so many bytes.
Lowering = Callable[[Sequence[int], float], list[Round]]


def to_next(ranks: Sequence[int], nbytes: float, by: int = 1) -> Round:
    """Every rank sends to the one so many places on, cyclically."""
    return [
        Flow(rank, ranks[(place + by) % len(ranks)], nbytes) for place, rank in enumerate(ranks)
    ]
