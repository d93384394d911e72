"""A matrix in pieces that stay in a core's cache from one operation to the next."""

from __future__ import annotations

from collections.abc import Iterator

from torch import Tensor

#: A megabyte in float32; fewer would be faster if it took no time to start an operation. Sums over
#: rows go piece by piece, so another number rounds some scales, and payloads, another way.
_ELEMENTS = 1 << 18


def pieces(x: Tensor, *others: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """The same rows of a matrix and of others with as many rows, piece after piece, as views.

    Only on a CPU. Elsewhere there is one piece: GPUs want long operations, and meta tensors stand
    for them.
    """
    rows = max(1, _ELEMENTS * len(x) // x.numel()) if x.is_cpu else len(x)
    return zip(*(each.split(rows) for each in (x, *others)), strict=True)
