"""Collectives laid over each other: side by side on other ranks, or one chunk behind another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain, zip_longest

from simnet.network.collectives.flow import Lowering, Round


def together(lowered: Iterable[Sequence[Round]]) -> list[Round]:
    """The first rounds of all at once, then the second ones, until the longest is through."""
    return [list(chain.from_iterable(flows)) for flows in zip_longest(*lowered, fillvalue=())]


def pipelined(lower: Lowering, chunks: int) -> Lowering:
    """The same algorithm for each of so many equal chunks of the value, each one a round later.

    Of R rounds it makes R + chunks - 1, each with 1 / chunks of the bytes of up to R old ones. It
    pays where ranks pause in most rounds: a chain or tree (Sanders, Speck, Träff 2009, section 2).
    """

    def lowering(ranks: Sequence[int], nbytes: float) -> list[Round]:
        return staggered(lower(ranks, nbytes / chunks), chunks)

    return lowering


def staggered(one: Sequence[Round], chunks: int) -> list[Round]:
    """The rounds of one chunk, and over them those of the others, each chunk a round later."""
    windows: dict[tuple[int, int], Round] = {}  # in the steady state all rounds are alike

    def window(first: int, last: int) -> Round:
        if (first, last) not in windows:
            windows[first, last] = list(chain.from_iterable(one[first : last + 1]))
        return windows[first, last]

    count = len(one) + chunks - 1 if one else 0
    return [window(max(0, k - chunks + 1), min(k, len(one) - 1)) for k in range(count)]
