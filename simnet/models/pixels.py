"""Pictures as a model without an autoencoder sees them: as tokens, a square of pixels each.

Shapes: N pictures, H x W pixels of one channel, T tokens of C = side^2 values between -1 and 1.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from simnet.models.shape import Preset


def tokens_of(images: Tensor, shape: Preset) -> Tensor:
    """Tokens (N, T, C) of pictures (N, H, W) of bytes, in the middle of the model's black field."""
    field = pad(images.float() / 127.5 - 1, _margins(images.shape, shape), value=-1.0)
    side = shape.token_px
    squares = field.unfold(1, side, side).unfold(2, side, side)
    return squares.flatten(3).flatten(1, 2)


def images_of(tokens: Tensor, shape: Preset, size: tuple[int, int]) -> Tensor:
    """Pictures (N, H, W) of bytes of that size, from the middle of what tokens (N, T, C) show."""
    _, rows, columns = shape.grid
    side = shape.token_px
    squares = tokens.float().view(-1, rows, columns, side, side).transpose(2, 3)
    field = squares.reshape(-1, rows * side, columns * side)
    left, right, top, bottom = _margins(size, shape)
    height, width = field.shape[1:]
    middle = field[:, top : height - bottom, left : width - right]
    return ((middle + 1) * 127.5).round().clamp(0, 255).to(torch.uint8)


def _margins(size: tuple[int, ...], shape: Preset) -> tuple[int, int, int, int]:
    """Left, right, top and bottom, in pixels."""
    down, across = shape.height_px - size[-2], shape.width_px - size[-1]
    return across // 2, across - across // 2, down // 2, down - down // 2
