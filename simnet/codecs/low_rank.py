"""A matrix as the product of a tall and a wide one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from simnet.codecs.base import Shape, half, halves, join, narrow
from simnet.codecs.subspace import basis, rank_of, ranks_within
from traces.errors import InputError


@dataclass(frozen=True)
class LowRank:
    """CompactFusion 2025 (arXiv 2507.17511), low rank: x is sent as U (N, r) and V = U'x (r, C).

    2 r (N + C) bytes, in half precision, with r = min(rank, N, C). Exact up to rounding where x
    has rank r; on noise the error's variance is nearly that of the data.
    """

    rank: int = 32
    name: ClassVar[str] = "lowrank"

    def __post_init__(self) -> None:
        if self.rank < 1:
            raise InputError(f"{self.name}: rank is {self.rank}, expected 1 or more")

    def encode(self, x: Tensor) -> Tensor:
        """See Codec."""
        x = x.contiguous().float()
        tall = half(basis(x, rank_of(x.shape, self.rank)))
        return join(tall, half(tall.float().T @ x))

    def decode(self, payload: Tensor, shape: Shape, dtype: torch.dtype) -> Tensor:
        """See Codec."""
        rank = rank_of(shape, self.rank)
        numbers = self.scales(payload, shape, dtype).float()
        tall, wide = numbers.split([shape[0] * rank, rank * shape[1]])
        return narrow(tall.view(-1, rank) @ wide.view(rank, -1), dtype)

    def nbytes(self, shape: Shape, dtype: torch.dtype) -> int:
        """See Codec."""
        del dtype
        return 2 * rank_of(shape, self.rank) * sum(shape)

    def within(self, nbytes: int, shape: Shape, dtype: torch.dtype) -> str | None:
        """See Sized."""
        return ranks_within(nbytes, shape, lambda rank: LowRank(rank).nbytes(shape, dtype))

    def scales(self, payload: Tensor, shape: Shape, dtype: torch.dtype) -> Tensor:
        """See Codec."""
        del dtype
        return halves(payload, rank_of(shape, self.rank) * sum(shape))
