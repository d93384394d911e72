"""Whole numbers of 4 or 8 bits between the least and the greatest of each channel."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from simnet.codecs.base import Shape, half, halves, join, narrow
from simnet.codecs.bits import pack_nibbles, packed_bytes, unpack_nibbles


class _Affine:
    """q = round((x - min) / scale), scale = (max - min) / (2^bits - 1), per channel."""

    bits: ClassVar[int]
    passes: ClassVar[int] = 2

    def encode(self, x: Tensor) -> Tensor:
        """See Codec."""
        levels = 2**self.bits - 1
        low, high = (end.float() for end in torch.aminmax(x, dim=0))
        scales = half(torch.stack([low, (high - low) / levels]))
        start, scale = scales.float()
        scale = torch.where(scale == 0, 1, scale)
        steps = (x.float() - start).div_(scale).round_().clamp_(0, levels)
        return join(scales, self.pack(steps.to(torch.uint8)))

    def decode(self, payload: Tensor, shape: Shape, dtype: torch.dtype) -> Tensor:
        """See Codec."""
        start, scale = self.scales(payload, shape, dtype).float().view(2, -1)
        steps = self.unpack(payload[4 * shape[1] :], shape)
        return narrow(steps.float().mul_(scale).add_(start), dtype)

    def nbytes(self, shape: Shape, dtype: torch.dtype) -> int:
        """See Codec."""
        del dtype
        return packed_bytes(shape[0] * shape[1], self.bits) + 4 * shape[1]

    def scales(self, payload: Tensor, shape: Shape, dtype: torch.dtype) -> Tensor:
        """See Codec."""
        del dtype
        return halves(payload, 2 * shape[1])

    def pack(self, steps: Tensor) -> Tensor:
        """Integers (N, C) in uint8 as bytes."""
        raise NotImplementedError

    def unpack(self, packed: Tensor, shape: Shape) -> Tensor:
        """The integers again, in uint8."""
        raise NotImplementedError


@dataclass(frozen=True)
class Int8(_Affine):
    """Round to 256 levels per channel (Jacob et al. 2018, arXiv 1712.05877, section 2.1).

    q = round((x - min) / scale) with scale = (max - min) / 255; NC + 4 C bytes. A channel that is
    constant decodes to its value in half precision.
    """

    name: ClassVar[str] = "int8"
    bits: ClassVar[int] = 8

    def pack(self, steps: Tensor) -> Tensor:
        """A byte each."""
        return steps

    def unpack(self, packed: Tensor, shape: Shape) -> Tensor:
        """The integers again."""
        return packed.view(shape)


@dataclass(frozen=True)
class Int4(_Affine):
    """Round to 16 levels per channel (Jacob et al. 2018, arXiv 1712.05877, section 2.1).

    As int8, with scale = (max - min) / 15 and two numbers to a byte: NC/2 + 4 C bytes.
    """

    name: ClassVar[str] = "int4"
    bits: ClassVar[int] = 4

    def pack(self, steps: Tensor) -> Tensor:
        """Two integers to a byte."""
        return pack_nibbles(steps)

    def unpack(self, packed: Tensor, shape: Shape) -> Tensor:
        """The integers again."""
        return unpack_nibbles(packed, shape)
