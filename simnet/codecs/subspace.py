"""The best part of a matrix in few dimensions, found by subspace iteration instead of an SVD."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache

import torch
from torch import Tensor

from simnet.codecs.base import Shape

#: CompactFusion's; each doubles how far strong directions stand out, at two products and one QR.
_ITERATIONS = 2


def rank_of(shape: Shape, rank: int) -> int:
    """How many dimensions a matrix of this shape can have, of the number that is asked for."""
    return min(rank, *shape)


def ranks_within(nbytes: int, shape: Shape, size: Callable[[int], int]) -> str | None:
    """The ranks for which a matrix comes to so many bytes at most; None: it does for none."""
    fits = (rank for rank in range(min(shape), 0, -1) if size(rank) <= nbytes)
    largest = next(fits, None)
    return None if largest is None else f"rank={largest} or less"


def basis(x: Tensor, rank: int) -> Tensor:
    """Orthonormal columns U (N, rank) that hold most of x (N, C), both in float32: x is near U U'x.

    Halko, Martinsson & Tropp 2011 (arXiv 0909.4061), algorithm 4.4, with a QR in each iteration,
    as CompactFusion has it (two iterations from a Gaussian start).
    """
    found = _start(x.shape[0], rank, str(x.device))
    for _ in range(_ITERATIONS):
        found, _ = torch.linalg.qr(x @ (x.T @ found))
    return found


@lru_cache(maxsize=16)
def _start(rows: int, rank: int, device: str) -> Tensor:
    """The same Gaussian numbers everywhere, (rows, rank), so that a codec is a pure function."""
    if device == "meta":
        return torch.empty(rows, rank, device=device)
    with torch.inference_mode(mode=False):  # it is kept, and may be needed outside
        return torch.randn(rows, rank, generator=torch.Generator().manual_seed(0)).to(device)
