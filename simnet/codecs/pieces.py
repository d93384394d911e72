"""A matrix in pieces that stay in a core's cache from one operation to the next."""

from __future__ import annotations

from torch import Tensor

#: 2 MB in float32. Smaller ones would stay closer to the core, but threads take a few
#: microseconds to start and end each operation.
_ELEMENTS = 1 << 19


def pieces(x: Tensor) -> tuple[Tensor, ...]:
    """Views of x, row after row; of equal length but for the last.

    Only on a CPU. Elsewhere there is one: GPUs want long operations, and meta tensors stand for
    them.
    """
    if not x.is_cpu:
        return (x,)
    return x.split(max(1, _ELEMENTS * len(x) // x.numel()))
