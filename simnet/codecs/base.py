"""What every codec is: a pair of pure functions between a matrix and the bytes that stand for it.

Shapes: N rows (tokens), C columns (channels: heads times their width).
"""

from __future__ import annotations

import math
from typing import ClassVar, Protocol

import torch
from torch import Tensor

from traces.errors import InputError

#: (N, C).
Shape = tuple[int, ...]

#: What activations may be made of.
DTYPES = (torch.float32, torch.float16, torch.bfloat16)
#: The largest number of half precision, in which scales travel.
HALF_MAX = 65504.0
#: The smallest normal float32: what a divisor that may be 0 is raised to.
TINY = 2.0**-126


class Codec(Protocol):
    """A frozen dataclass whose fields are the codec's own parameters.

    The same code runs on meta tensors: shapes only, and no decision depends on a value. Equal
    inputs on equal devices give equal bits, which the recursions of residuals rely on.
    """

    name: ClassVar[str]

    def encode(self, x: Tensor) -> Tensor:
        """The payload of a matrix (N, C): bytes, (nbytes,) in uint8, its scales first."""
        ...

    def decode(self, payload: Tensor, shape: Shape, dtype: torch.dtype) -> Tensor:
        """The matrix (N, C) that a payload stands for."""
        ...

    def nbytes(self, shape: Shape, dtype: torch.dtype) -> int:
        """Length of the payload of any matrix of this shape and type."""
        ...

    def scales(self, payload: Tensor, shape: Shape, dtype: torch.dtype) -> Tensor:
        """Numbers in a payload of which some are NaN or infinite if any of its matrix are."""
        ...


def join(*parts: Tensor) -> Tensor:
    """Bytes of these tensors, one after the other."""
    return torch.cat([part.reshape(-1).view(torch.uint8) for part in parts])


def halves(payload: Tensor, count: int) -> Tensor:
    """The numbers in half precision at the front of a payload, (count,).

    A copy, because a payload that was cut out of a larger buffer may start at an odd address.
    """
    return payload[: 2 * count].clone().view(torch.float16)


def half(scales: Tensor) -> Tensor:
    """Scales as they travel; infinite from 65520 on, which `check_scales` finds."""
    return scales.to(torch.float16)


def narrow(x: Tensor, dtype: torch.dtype) -> Tensor:
    """As this type, where what rounding has pushed past its largest number becomes that number."""
    largest = torch.finfo(dtype).max
    return x.clamp(-largest, largest).to(dtype)


def check_matrix(x: Tensor, name: str) -> None:
    """Raise InputError unless x is a matrix, not empty, of a type that codecs take."""
    if x.ndim != 2 or x.dtype not in DTYPES or x.numel() == 0:
        raise InputError(
            f"{name} is {tuple(x.shape)} of {x.dtype}, expected a matrix of tokens by channels in "
            f"{', '.join(str(dtype).removeprefix('torch.') for dtype in DTYPES)}: reshape it"
        )


def check_finite(x: Tensor, name: str) -> None:
    """Raise InputError where x holds NaN or infinity, saying how many of each.

    Meta tensors hold nothing, and pass. Waits for a GPU: call it once a step there, not for each
    tensor; what is not finite stays so in every later base.
    """
    if x.is_meta or math.isfinite(x.sum(dtype=torch.float32).item()):
        return
    nan, infinite = int(x.isnan().sum()), int(x.isinf().sum())
    if nan + infinite:
        raise InputError(
            f"{name} holds {nan} NaN and {infinite} infinite values of {x.numel()}, expected "
            "finite ones: the model has diverged, or its type has too small a range"
        )


def check_scales(scales: Tensor, x: Tensor, name: str) -> None:
    """Raise InputError where scales are not finite, which tells of a matrix x that is not either.

    They are few, so that on a CPU this costs next to nothing.
    """
    if math.isfinite(scales.sum(dtype=torch.float32).item()):
        return
    check_finite(x, name)
    if not bool(scales.isfinite().all()):
        raise InputError(
            f"{name} reaches {x.abs().max().item():.3g}, beyond what half precision can scale "
            f"({HALF_MAX:.0f}): send it raw, or divide it by a constant"
        )
