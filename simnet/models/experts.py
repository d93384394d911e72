"""A DiT's block with experts, cut where a schedule may want to send tokens to them.

    tokens, rows, scores, chosen = block.route(h, carry, out)   after attention
    routed = ...                                                the experts, wherever they are
    h = block.merge(tokens, rows, routed, carry)

Shapes: B batch, T tokens, N = B T rows, D hidden, E experts, k slots of a token.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from simnet.models.block import State
from simnet.models.joint import JointBlock
from simnet.models.mixture import Mixture
from simnet.models.mlp import Mlp


class ExpertBlock(JointBlock):
    """A DiT-MoE's block (Fei et al. 2024, figure 2); `finish` has all experts here."""

    @property
    def mixture(self) -> Mixture:
        """The gate and the experts."""
        mixture = self.image.mlp
        assert isinstance(mixture, Mixture)
        return mixture

    @property
    def experts(self) -> Sequence[Mlp]:
        """All of them; an expert takes rows (any, D) to the same."""
        return self.mixture.experts

    def route(self, h: State, carry: State, out: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Tokens after attention (B, T, D), rows for the experts, scores (N, E), chosen (N, k)."""
        (tokens,) = self.add(h, *self.attention_update(h, carry, out))
        rows = self.image.norm_mlp(tokens, carry[0]).flatten(0, 1)
        return tokens, rows, *self.mixture.route(rows)

    def serve(self, which: Sequence[int], loads: Sequence[Sequence[int]], *parts: Tensor) -> Tensor:
        """Outputs (M, D) of these experts for rows that came in parts, in the rows' order.

        Part i (M_i, D) has the rows for the first of these experts first, `loads[i]` for each.
        """
        pieces = [part.split(list(load)) for part, load in zip(parts, loads, strict=True)]
        out = []
        for expert, rows in zip(which, zip(*pieces, strict=True), strict=True):
            served = self.experts[expert](torch.cat(rows))
            out.append(served.split([len(piece) for piece in rows]))
        return torch.cat([piece for part in zip(*out, strict=True) for piece in part])

    def merge(self, tokens: Tensor, rows: Tensor, routed: Tensor, carry: State) -> State:
        """H after the layer: with the shared expert's output, and the chosen ones', (N, D)."""
        out = (self.mixture.shared(rows) + routed).view_as(tokens)
        return (tokens + self.image.gate_mlp(out, carry[0]),)
