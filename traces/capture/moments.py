"""Second moments of a tensor by token and by channel, and of what changed since some steps ago."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch

from traces.capture.projection import SLAB


class Moments(NamedTuple):
    """Sums of squares, on the tensor's device.

    Attributes:
        token: (N,), over channels; tokens of all images.
        channel: (C,), over tokens; of all heads.
        changes: (lags,), over all, of the tensor less each of the others.
    """

    token: torch.Tensor
    channel: torch.Tensor
    changes: torch.Tensor


def moments(x: torch.Tensor, others: Sequence[torch.Tensor] = ()) -> Moments:
    """Of (..., tokens, channels), or (..., heads, tokens, channels of a head) from four axes on.

    Differences and squares are float32, sums float64 from some hundred thousand numbers on.
    """
    seen, *earlier = [_view(each) for each in (x, *others)]
    images, heads, tokens, width = seen.shape
    token = torch.empty(images, tokens, device=x.device)
    channel = torch.zeros(heads, width, dtype=torch.float64, device=x.device)
    changes = torch.zeros(len(earlier), dtype=torch.float64, device=x.device)
    at_once = max(1, SLAB.get(x.device.type, SLAB["cuda"]) // max(1, images * heads * width))
    for low in range(0, tokens, at_once):
        here = slice(low, low + at_once)
        some = seen[:, :, here].float()
        squares = some.square()
        token[:, here] = squares.sum((1, 3))
        channel += squares.sum((0, 2))
        for lag, other in enumerate(earlier):
            changes[lag] += (some - other[:, :, here]).square().sum()
    return Moments(token.reshape(-1), channel.reshape(-1), changes)


def _view(x: torch.Tensor) -> torch.Tensor:
    """As (images, heads, tokens, channels of a head)."""
    if x.ndim < 2:
        return x.reshape(1, 1, -1, 1)
    heads = x.shape[-3] if x.ndim > 3 else 1
    return x.reshape(-1, heads, *x.shape[-2:])
