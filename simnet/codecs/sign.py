"""1 bit an element: its sign, with magnitudes from its channel's and its row's means."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from simnet.codecs import rank_one
from simnet.codecs.base import Shape, halves, join
from simnet.codecs.bits import pack, packed_bytes, spread, top, wide, words


@dataclass(frozen=True)
class OneBit:
    """CompactFusion 2025 (arXiv 2507.17511), 1 bit: signs, and a scale per channel and per token.

    An element decodes to +s_ij or -s_ij, s_ij = c_j r_i / mean(r). NC/8 + 2 (N + C) bytes; on
    Gaussian data the error's variance is 1 - 2/pi = .363 of the data's, before the scales adapt.
    A bit is set for a negative element (and for -0.0, which decodes to -s_ij).
    """

    name: ClassVar[str] = "1bit"
    passes: ClassVar[int] = 3

    def encode(self, x: Tensor) -> Tensor:
        """See Codec."""
        scales, signs = rank_one.fit(x.contiguous())
        return join(scales, pack(signs, 8))

    def decode(self, payload: Tensor, shape: Shape, dtype: torch.dtype) -> Tensor:
        """See Codec."""
        codes = wide(payload[2 * sum(shape) :], dtype)
        x = spread(codes, top(dtype), -1 << top(dtype), shape).view(dtype)
        channels, rows = rank_one.of_channels_and_rows(self.scales(payload, shape, dtype), x)
        words(x).bitwise_or_(words(rows * channels))
        return x

    def nbytes(self, shape: Shape, dtype: torch.dtype) -> int:
        """See Codec."""
        del dtype
        return packed_bytes(shape[0] * shape[1], 1) + 2 * sum(shape)

    def scales(self, payload: Tensor, shape: Shape, dtype: torch.dtype) -> Tensor:
        """See Codec."""
        del dtype
        return halves(payload, sum(shape))
