"""A matrix in pieces that stay in a core's cache from one operation to the next."""

from __future__ import annotations

from torch import Tensor

#: A megabyte in float32; fewer would be faster if it took no time to start an operation.
_ELEMENTS = 1 << 18


def pieces(x: Tensor, dim: int = 0) -> tuple[Tensor, ...]:
    """Views of x, one after the other along `dim`; of equal length but for the last.

    Only on a CPU. Elsewhere there is one: GPUs want long operations, and meta tensors stand for
    them.
    """
    length = x.shape[dim]
    if not x.is_cpu:
        return (x,)
    parts: tuple[Tensor, ...] = x.split(max(1, _ELEMENTS * length // x.numel()), dim)
    return parts
