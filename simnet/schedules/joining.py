"""Several tensors as one message."""

from __future__ import annotations

from math import prod

import torch
from torch import Tensor


def join(*tensors: Tensor) -> Tensor:
    """All their elements in a row; they are of one type."""
    return torch.cat([tensor.reshape(-1) for tensor in tensors])


def split(joined: Tensor, *shapes: tuple[int, ...]) -> tuple[Tensor, ...]:
    """What `join` put together from tensors of these shapes."""
    parts = joined.split([prod(shape) for shape in shapes])
    return tuple(part.view(shape) for part, shape in zip(parts, shapes, strict=True))
