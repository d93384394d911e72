"""Every element as it is."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from simnet.codecs.base import Shape


@dataclass(frozen=True)
class Raw:
    """No compression: the bytes of the activations themselves; what warm-up steps send.

    NC times the size of an element. Nothing is copied where nothing has to be: a payload shares
    memory with its matrix.
    """

    name: ClassVar[str] = "raw"

    def encode(self, x: Tensor) -> Tensor:
        """See Codec."""
        return x.contiguous().view(-1).view(torch.uint8)

    def decode(self, payload: Tensor, shape: Shape, dtype: torch.dtype) -> Tensor:
        """See Codec."""
        if payload.storage_offset() % dtype.itemsize:  # cut out of a larger buffer
            payload = payload.clone()
        return payload.view(dtype).view(shape)

    def nbytes(self, shape: Shape, dtype: torch.dtype) -> int:
        """See Codec."""
        return math.prod(shape) * dtype.itemsize

    def scales(self, payload: Tensor, shape: Shape, dtype: torch.dtype) -> Tensor:
        """All elements, for any may be NaN."""
        return self.decode(payload, shape, dtype)
