"""How time and class reach the tokens: as shifts, scales and gates (adaptive layer norm, adaLN)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, silu

from simnet.models.shape import Preset

#: What there may be: shift, scale and gate of the attention, and of the MLP.
SHIFT, SCALE, GATE, MLP_SHIFT, MLP_SCALE, MLP_GATE = range(6)
_EPSILON = 1e-6


class Modulation(nn.Module):
    """Some of the six, each (B, 1, width), worked out of the condition; None for the others."""

    def __init__(self, parts: Sequence[int]) -> None:
        super().__init__()
        self.parts = tuple(parts)

    def forward(self, c: Tensor) -> Tensor:
        """The parts (len(parts), B, 1, width) that the condition c (B, any) asks for."""
        raise NotImplementedError

    def constants(self) -> Tensor:
        """What is added to them whatever the condition, (len(parts), width): a view to fill."""
        raise NotImplementedError

    def name(self, values: Tensor) -> list[Tensor | None]:
        """All six in their order, of the parts that `forward` gave."""
        named: list[Tensor | None] = [None] * 6
        for part, value in zip(self.parts, values, strict=True):
            named[part] = value
        return named


class Own(Modulation):
    """Every block works them out itself (Peebles & Xie 2023, figure 3, adaLN-Zero)."""

    def __init__(self, shape: Preset, width: int, parts: Sequence[int]) -> None:
        super().__init__(parts)
        self.linear = nn.Linear(shape.modulation.width or shape.hidden, len(parts) * width)

    def forward(self, c: Tensor) -> Tensor:
        """See Modulation."""
        values: Tensor = self.linear(silu(c))
        return values.view(len(c), len(self.parts), -1).transpose(0, 1).unsqueeze(2)

    def constants(self) -> Tensor:
        """See Modulation."""
        return self.linear.bias.view(len(self.parts), -1)


class Shared(Modulation):
    """The model works them out once; a block adds its own (Chen et al. 2023, adaLN-single)."""

    def __init__(self, width: int, parts: Sequence[int]) -> None:
        super().__init__(parts)
        self.table = nn.Parameter(torch.empty(len(parts), width))

    def forward(self, c: Tensor) -> Tensor:
        """See Modulation; the condition has as many parts, or more."""
        values = c.view(len(c), -1, self.table.shape[1])[:, : len(self.parts)] + self.table
        return values.transpose(0, 1).unsqueeze(2)

    def constants(self) -> Tensor:
        """See Modulation."""
        return self.table


def modulation(shape: Preset, width: int, parts: Sequence[int]) -> Modulation:
    """The kind that models of this shape have, for tokens of this width."""
    return Shared(width, parts) if shape.modulation.shared else Own(shape, width, parts)


def modulate(tokens: Tensor, shift: Tensor | None = None, scale: Tensor | None = None) -> Tensor:
    """Tokens (B, T, width), normalised, scaled and shifted."""
    normed = layer_norm(tokens, tokens.shape[-1:], eps=_EPSILON)
    if scale is not None:
        normed = normed * (1 + scale)
    return normed if shift is None else normed + shift


def gated(update: Tensor, gate: Tensor | None) -> Tensor:
    """An update (B, T, width), weighed."""
    return update if gate is None else gate * update
