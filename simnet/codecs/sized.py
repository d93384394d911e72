"""What to do where a codec would make more of a matrix than the matrix itself."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

import torch

from simnet.codecs.base import Codec, Shape


@runtime_checkable
class Sized(Codec, Protocol):
    """A codec whose parameter decides how much it makes."""

    def within(self, nbytes: int, shape: Shape, dtype: torch.dtype) -> str | None:
        """The parameters with which a matrix comes to so many bytes at most; None: with none."""
        ...


def advice(codec: Codec, shape: Shape, dtype: torch.dtype) -> str:
    """What would make less of a matrix (N, C) than it is."""
    whole = shape[0] * shape[1] * dtype.itemsize
    fitting = codec.within(whole, shape, dtype) if isinstance(codec, Sized) else None
    return "send it raw" if fitting is None else f"use {fitting}"
