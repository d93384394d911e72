"""Of every few neighbouring channels only the largest, and where it was."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import pad

from simnet.codecs.base import Shape, half, halves, join
from simnet.codecs.bits import pack_nibbles, packed_bytes, unpack_nibbles
from traces.errors import InputError

_BLOCKS = (1, 2, 4, 8, 16)


@dataclass(frozen=True)
class TopOne:
    """CompactFusion 2025 (arXiv 2507.17511), sparse 1:m: the largest of each m channels.

    Its value in half precision and its place in 4 bits: 2.5 NC / m bytes. All others decode to 0.
    m is 1, 2, 4, 8 or 16; the last block of a row may be shorter.
    """

    m: int = 8
    name: ClassVar[str] = "sparse"
    passes: ClassVar[int] = 1

    def __post_init__(self) -> None:
        if self.m not in _BLOCKS:
            known = ", ".join(map(str, _BLOCKS))
            raise InputError(f"{self.name}: m is {self.m}, expected one of {known}")

    def encode(self, x: Tensor) -> Tensor:
        """See Codec."""
        blocks = pad(x, (0, -x.shape[1] % self.m)).reshape(-1, self.m)
        places = blocks.abs().argmax(1, keepdim=True)
        values = half(blocks.gather(1, places))
        return join(values, pack_nibbles(places.to(torch.uint8)))

    def decode(self, payload: Tensor, shape: Shape, dtype: torch.dtype) -> Tensor:
        """See Codec."""
        values = self.scales(payload, shape, dtype).to(dtype).unsqueeze(1)
        places = unpack_nibbles(payload[2 * len(values) :], values.shape)
        blocks = values.new_zeros(len(values), self.m).scatter_(1, places.long(), values)
        return blocks.view(shape[0], -1)[:, : shape[1]].contiguous()

    def nbytes(self, shape: Shape, dtype: torch.dtype) -> int:
        """See Codec."""
        del dtype
        blocks = self._blocks(shape)
        return 2 * blocks + packed_bytes(blocks, 4)

    def within(self, nbytes: int, shape: Shape, dtype: torch.dtype) -> str | None:
        """See Sized."""
        fits = (m for m in _BLOCKS if TopOne(m).nbytes(shape, dtype) <= nbytes)
        least = next(fits, None)
        return None if least is None else f"m={least} or more"

    def scales(self, payload: Tensor, shape: Shape, dtype: torch.dtype) -> Tensor:
        """See Codec."""
        del dtype
        return halves(payload, self._blocks(shape))

    def _blocks(self, shape: Shape) -> int:
        return shape[0] * -(-shape[1] // self.m)
