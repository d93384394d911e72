"""Weights and positions that a model starts from: drawn from a seed, and so at unit scale."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from simnet.models.modulation import GATE, MLP_GATE, Modulation

if TYPE_CHECKING:
    from simnet.models.dit import DiT


def draw(model: DiT, generator: torch.Generator) -> None:
    """Random weights that keep activations near unit scale over the whole depth.

    A DiT starts its training with every block the identity (adaLN-Zero), which would leave
    nothing to look at; here the blocks together add about as much as the tokens bring.
    """
    for name, parameter in model.named_parameters():
        if parameter.ndim == 1:
            parameter.zero_()
            continue
        scale = 1.0 if name == "label" else parameter.shape[1] ** -0.5
        scale *= 0.5 if "modulation" in name else 1.0
        parameter.copy_(scale * torch.randn(parameter.shape, generator=generator))
    for block in model.blocks:
        for module in block.modules():
            if isinstance(module, Modulation):
                _open_gates(module, (2 * len(model.blocks)) ** -0.5)


def _open_gates(modulation: Modulation, width: float) -> None:
    for part, constants in zip(modulation.parts, modulation.constants(), strict=True):
        if part in (GATE, MLP_GATE):
            constants.fill_(width)


def frequencies(count: int) -> Tensor:
    """Falling geometrically from 1 towards 1/10000 (Vaswani et al. 2017, section 3.5)."""
    return torch.exp(-math.log(10_000) * torch.arange(count) / count)


def position(grid: tuple[int, int, int], width: int) -> Tensor:
    """Where each token stands (T, D): sinusoids of its row and of its column.

    The frames of a video stand one below the other.
    """
    frames, rows, columns = grid
    token = torch.arange(frames * rows * columns)
    angles = [
        place.unsqueeze(1) * frequencies(width // 4)
        for place in (torch.div(token, columns, rounding_mode="floor"), token % columns)
    ]
    return torch.cat([wave for a in angles for wave in (a.sin(), a.cos())], dim=1)
