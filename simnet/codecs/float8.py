"""Floats of 8 bits, after each channel has been scaled to their range."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from simnet.codecs.base import Shape, half, halves, join, narrow

#: The largest e4m3 number; beyond it there is only NaN.
_MAX = 448.0


@dataclass(frozen=True)
class Float8:
    """Micikevicius et al. 2022 (arXiv 2209.05433), e4m3: 4 bits of exponent, 3 of mantissa.

    A channel is divided by scale = max |x| / 448. NC + 2 C bytes; relative error 1/16 at most, of
    elements above 2^-15 of their channel's largest.
    """

    name: ClassVar[str] = "fp8"
    passes: ClassVar[int] = 2

    def encode(self, x: Tensor) -> Tensor:
        """See Codec."""
        scales = half(x.abs().amax(0).float() / _MAX)
        scale = torch.where(scales == 0, 1, scales.float())
        codes = (x.float() / scale).clamp_(-_MAX, _MAX).to(torch.float8_e4m3fn)
        return join(scales, codes)

    def decode(self, payload: Tensor, shape: Shape, dtype: torch.dtype) -> Tensor:
        """See Codec."""
        codes = payload[2 * shape[1] :].view(torch.float8_e4m3fn).view(shape)
        return narrow(codes.float().mul_(self.scales(payload, shape, dtype)), dtype)

    def nbytes(self, shape: Shape, dtype: torch.dtype) -> int:
        """See Codec."""
        del dtype
        return shape[0] * shape[1] + 2 * shape[1]

    def scales(self, payload: Tensor, shape: Shape, dtype: torch.dtype) -> Tensor:
        """See Codec."""
        del dtype
        return halves(payload, shape[1])
