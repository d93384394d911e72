"""The scale of each element of a matrix as a product: one number per channel times one per row.

CompactFusion (arXiv 2507.17511), "mean scale": with c_j and r_i the mean magnitudes of channel j
and row i, element (i, j) is taken to be of magnitude s_ij = c_j r_i / mean(r).
"""

from __future__ import annotations

import torch
from torch import Tensor

from simnet.codecs.base import HALF_MAX, TINY, half
from simnet.codecs.bits import words
from simnet.codecs.pieces import pieces


def fit(x: Tensor, gain: float = 1.0, *, largest: float = 1.0) -> tuple[Tensor, Tensor]:
    """Scales of a matrix (N, C), and its signs.

    Scales: c times `gain`, then r / mean(r); (C + N,) in half precision. All zero where the matrix
    is. Where a loud channel meets a loud row their product overshoots; scales are made smaller so
    that `largest` times any is at most half of the largest number of the matrix's type, and there
    is room to add a base. Signs: 1 where the sign bit is set, else 0; (N, C) in uint8.
    """
    limit = torch.finfo(x.dtype).max / (2 * largest)
    channels, rows, signs = _looked_over(x)
    rows = (rows / rows.mean().clamp_min(TINY)).clamp_max(HALF_MAX)
    excess = (gain * channels.max() * rows.max() / limit).clamp_min(1)
    return half(torch.cat([channels * (gain / excess), rows])), signs


def of_channels_and_rows(scales: Tensor, like: Tensor) -> tuple[Tensor, Tensor]:
    """c (C,) and r (N, 1) / mean(r) of a matrix's scales, in its type."""
    channels, rows = scales.to(like.dtype).split([like.shape[1], like.shape[0]])
    return channels, rows.unsqueeze(1)


def _looked_over(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Mean magnitudes of channels (C,) and rows (N,) in float32, and signs: x is read once."""
    signs = torch.empty_like(x, dtype=torch.uint8)
    channels, rows = [], []
    for part, sign in pieces(x, signs):
        absolute = part.abs()
        # On a CPU sums would convert all of it first, each for itself.
        sizes = absolute.float() if x.is_cpu else absolute
        channels.append(sizes.sum(0, dtype=torch.float32))
        rows.append(sizes.sum(1, dtype=torch.float32))
        sign.copy_(words(absolute).ne_(words(part)))  # in place is many times faster
    return torch.stack(channels).sum(0) / x.shape[0], torch.cat(rows) / x.shape[1], signs
