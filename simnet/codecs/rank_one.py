"""The scale of each element of a matrix as a product: one number per channel times one per row.

CompactFusion (arXiv 2507.17511), "mean scale": with c_j and r_i the mean magnitudes of channel j
and row i, element (i, j) is taken to be of magnitude s_ij = c_j r_i / mean(r).
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from simnet.codecs.base import HALF_MAX, TINY, half
from simnet.codecs.pieces import pieces


def fit(x: Tensor, gain: float = 1.0, *, largest: float = 1.0) -> Tensor:
    """Scales of a matrix (N, C): c times `gain`, then r / mean(r); (C + N,) in half precision.

    All zero where the matrix is. Where a loud channel meets a loud row their product overshoots;
    scales are made smaller so that `largest` times any is at most half of the largest number of
    the matrix's type, and there is room to add a base.
    """
    limit = torch.finfo(x.dtype).max / (2 * largest)
    channels, rows = _mean_sizes(x)
    rows = (rows / rows.mean().clamp_min(TINY)).clamp_max(HALF_MAX)
    excess = (gain * channels.max() * rows.max() / limit).clamp_min(1)
    return half(torch.cat([channels * (gain / excess), rows]))


def with_scales(x: Tensor, scales: Tensor) -> Iterator[tuple[Tensor, Tensor]]:
    """Pieces of a matrix (N, C), each with the scales of its elements, in its shape and type."""
    channels, rows = scales.to(x.dtype).split([x.shape[1], x.shape[0]])
    parts = pieces(x)
    for part, of_part in zip(parts, rows.split(len(parts[0])), strict=True):
        yield part, torch.outer(of_part, channels)


def _mean_sizes(x: Tensor) -> tuple[Tensor, Tensor]:
    """Mean magnitudes of channels (C,) and rows (N,), in float32."""
    channels, rows = [], []
    for part in pieces(x):
        sizes = part.abs()
        if sizes.is_cpu:  # whose sums convert all of it first, each for itself
            sizes = sizes.float()
        channels.append(sizes.sum(0, dtype=torch.float32))
        rows.append(sizes.sum(1, dtype=torch.float32))
    return torch.stack(channels).sum(0) / x.shape[0], torch.cat(rows) / x.shape[1]
