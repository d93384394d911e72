"""A matrix as the product of a tall and a wide one, each rounded to 4 bits."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from simnet.codecs.affine import Int4
from simnet.codecs.base import Shape, join, narrow
from simnet.codecs.subspace import basis, rank_of, ranks_within
from traces.errors import InputError

_FACTOR = Int4()


@dataclass(frozen=True)
class LowRankInt4:
    """CompactFusion 2025 (arXiv 2507.17511), low rank with int4 factors: its smallest codec.

    U (N, r) and V' = x'U (C, r) as for lowrank, each in int4 with scales per column:
    r (N + C) / 2 + 8 r bytes with r = min(rank, N, C).
    """

    rank: int = 32
    name: ClassVar[str] = "lowrank-int4"

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise InputError(f"{self.name}: rank is {self.rank}, expected 1 or more")

    def encode(self, x: Tensor) -> Tensor:
        """See Codec."""
        x = x.contiguous().float()
        tall = basis(x, rank_of(x.shape, self.rank))
        return join(_FACTOR.encode(tall), _FACTOR.encode(x.T @ tall))

    def decode(self, payload: Tensor, shape: Shape, dtype: torch.dtype) -> Tensor:
        """See Codec."""
        factors = zip(self._parts(payload, shape), self._shapes(shape), strict=True)
        tall, wide = (_FACTOR.decode(part, size, torch.float32) for part, size in factors)
        return narrow(tall @ wide.T, dtype)

    def nbytes(self, shape: Shape, dtype: torch.dtype) -> int:
        """See Codec."""
        return sum(_FACTOR.nbytes(size, dtype) for size in self._shapes(shape))

    def within(self, nbytes: int, shape: Shape, dtype: torch.dtype) -> str | None:
        """See Sized."""
        return ranks_within(nbytes, shape, lambda rank: LowRankInt4(rank).nbytes(shape, dtype))

    def scales(self, payload: Tensor, shape: Shape, dtype: torch.dtype) -> Tensor:
        """See Codec."""
        factors = zip(self._parts(payload, shape), self._shapes(shape), strict=True)
        return torch.cat([_FACTOR.scales(part, size, dtype) for part, size in factors])

    def _shapes(self, shape: Shape) -> list[Shape]:
        """Of the two factors, columns last."""
        return [(length, rank_of(shape, self.rank)) for length in shape]

    def _parts(self, payload: Tensor, shape: Shape) -> Sequence[Tensor]:
        """The two factors' payloads."""
        sizes = [_FACTOR.nbytes(size, torch.float32) for size in self._shapes(shape)]
        parts: Sequence[Tensor] = payload.split(sizes)
        return parts
