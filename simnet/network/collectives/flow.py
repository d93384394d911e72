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
#: Rounds that are alike may be one list, so that a thousand of them cost little: do not change one.
Round = list[Flow]

#: One algorithm: the rounds for these ranks, when each member brings so many bytes: to an
#: all-gather its shard, to all other kinds its whole buffer. The first rank is the root.
Lowering = Callable[[Sequence[int], float], list[Round]]

#: Bytes from the rank of the row's place to that of the column's; those to oneself do not move.
Sizes = Sequence[Sequence[float]]

#: One algorithm for an all-to-all of parts that differ in size.
Uneven = Callable[[Sequence[int], Sizes], list[Round]]


def to_next(ranks: Sequence[int], nbytes: float, by: int = 1) -> Round:
    """Every rank sends to the one so many places on, cyclically."""
    return [
        Flow(rank, ranks[(place + by) % len(ranks)], nbytes) for place, rank in enumerate(ranks)
    ]


def backwards(rounds: Sequence[Round]) -> list[Round]:
    """Last round first, and each flow the other way: a broadcast becomes a reduce.

    What gathers or copies becomes what reduces, with the same bytes in as many rounds (Chan et al.
    2007, section 3).
    """
    return [[Flow(dst, src, nbytes) for src, dst, nbytes in flows] for flows in reversed(rounds)]
