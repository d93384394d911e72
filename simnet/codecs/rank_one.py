"""The scale of each element of a matrix as a product: one number per channel times one per row.

CompactFusion (arXiv 2507.17511), "mean scale": with c_j and r_i the mean magnitudes of channel j
and row i, element (i, j) is taken to be of magnitude s_ij = c_j r_i / mean(r).
"""

from __future__ import annotations

import torch
from torch import Tensor

from simnet.codecs.base import HALF_MAX, TINY, Shape, half


def fit(sizes: Tensor, gain: float = 1.0, *, largest: float = 1.0) -> Tensor:
    """Scales of magnitudes (N, C): c times `gain`, then r / mean(r); (C + N,) in half precision.

    All zero where the magnitudes are. Where a loud channel meets a loud row their product
    overshoots; scales are made smaller so that `largest` times any is at most half of the largest
    number of the magnitudes' type, and there is room to add a base.
    """
    limit = torch.finfo(sizes.dtype).max / (2 * largest)
    if sizes.is_cpu:  # whose kernels convert all of it first, each for itself
        sizes = sizes.float()
    channels, rows = (sizes.mean(dim, dtype=torch.float32) for dim in (0, 1))
    rows = (rows / rows.mean().clamp_min(TINY)).clamp_max(HALF_MAX)
    excess = (gain * channels.max() * rows.max() / limit).clamp_min(1)
    return half(torch.cat([channels * (gain / excess), rows]))


def product(scales: Tensor, shape: Shape, dtype: torch.dtype) -> Tensor:
    """The scale of each element, (N, C)."""
    channels, rows = scales.to(dtype).split([shape[1], shape[0]])
    return torch.outer(rows, channels)
