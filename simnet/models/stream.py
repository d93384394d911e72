"""One kind of tokens' way through a layer: into attention, out of it, and through the MLP.

Shapes: B batch, T tokens, H heads, E width of a head.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import torch
from torch import Tensor, nn

from simnet.models import attention
from simnet.models.mixture import Mixture
from simnet.models.mlp import Mlp
from simnet.models.modulation import (
    GATE,
    MLP_GATE,
    MLP_SCALE,
    MLP_SHIFT,
    SCALE,
    SHIFT,
    gated,
    modulate,
    modulation,
)
from simnet.models.shape import Preset
from simnet.models.shards import by_input, by_output, replaced


class Entry(nn.Module):
    """The way into attention."""

    def __init__(self, shape: Preset, width: int, parts: Sequence[int]) -> None:
        super().__init__()
        self.head_dim = shape.head_dim
        self.modulation = modulation(shape, width, parts)
        self.qkv = nn.Linear(width, 3 * shape.hidden)
        self.qk_norm = shape.qk_norm

    def norm(self, tokens: Tensor, c: Tensor) -> tuple[Tensor, Tensor]:
        """Tokens (B, T, width) as attention takes them in, and all parts of the modulation."""
        parts = self.modulation(c)
        named = self.modulation.name(parts)
        return modulate(tokens, named[SHIFT], named[SCALE]), parts

    def heads(self, normed: Tensor) -> Tensor:
        """Queries, keys and values (3, B, H, T, E)."""
        qkv: Tensor = self.qkv(normed).unflatten(-1, (3, -1, self.head_dim))
        heads = qkv.permute(2, 0, 3, 1, 4)
        if not self.qk_norm:
            return heads
        return torch.stack((modulate(heads[0]), modulate(heads[1]), heads[2]))

    def shard(self, rank: int, ranks: int) -> Self:
        """See Block."""
        return replaced(self, qkv=by_output(self.qkv, rank, ranks, groups=3))


class Stream(Entry):
    """The whole way."""

    def __init__(
        self, shape: Preset, width: int, parts: Sequence[int], *, mlp: int | None = None
    ) -> None:
        super().__init__(shape, width, parts)
        self.out = nn.Linear(shape.hidden, width)
        self.mlp: Mlp | Mixture = Mlp(width, mlp or 4 * width, gate=shape.gated)
        if shape.experts is not None:
            self.mlp = Mixture(width, shape.experts)

    def leave_attention(self, out: Tensor) -> Tensor:
        """Tokens (B, T, width) of attention's out (B, H, T, E)."""
        tokens: Tensor = self.out(joined(out))
        return tokens

    def attention_update(self, parts: Tensor, out: Tensor) -> Tensor:
        """What attention's out (B, H, T, E) adds to the tokens, (B, T, width)."""
        return gated(self.leave_attention(out), self.modulation.name(parts)[GATE])

    def norm_mlp(self, tokens: Tensor, parts: Tensor) -> Tensor:
        """Tokens (B, T, width) as the MLP takes them in."""
        named = self.modulation.name(parts)
        return modulate(tokens, named[MLP_SHIFT], named[MLP_SCALE])

    def gate_mlp(self, out: Tensor, parts: Tensor) -> Tensor:
        """What the MLP's out adds to the tokens, both (B, T, width)."""
        return gated(out, self.modulation.name(parts)[MLP_GATE])

    def mlp_update(self, tokens: Tensor, parts: Tensor) -> Tensor:
        """What the MLP adds to the tokens (B, T, width)."""
        return self.gate_mlp(self.mlp(self.norm_mlp(tokens, parts)), parts)

    def shard(self, rank: int, ranks: int) -> Self:
        """See Block."""
        out, mlp = by_input(self.out, rank, ranks), self.mlp.shard(rank, ranks)
        return replaced(super().shard(rank, ranks), out=out, mlp=mlp)


class CrossAttention(nn.Module):
    """Tokens attend to the text, which every rank has."""

    def __init__(self, shape: Preset, text_width: int) -> None:
        super().__init__()
        self.head_dim = shape.head_dim
        self.q = nn.Linear(shape.hidden, shape.hidden)
        self.kv = nn.Linear(text_width, 2 * shape.hidden)
        self.out = nn.Linear(shape.hidden, shape.hidden)

    def forward(self, tokens: Tensor, text: Tensor) -> Tensor:
        """What text (B, S, text width) adds to tokens (B, T, D)."""
        q = self.q(modulate(tokens)).unflatten(-1, (-1, self.head_dim)).transpose(1, 2)
        kv = self.kv(text).unflatten(-1, (2, -1, self.head_dim)).permute(2, 0, 3, 1, 4)
        out, _ = attention.attend(q, kv)
        update: Tensor = self.out(joined(out))
        return update

    def shard(self, rank: int, ranks: int) -> Self:
        """See Block."""
        q, kv = by_output(self.q, rank, ranks), by_output(self.kv, rank, ranks, groups=2)
        return replaced(self, q=q, kv=kv, out=by_input(self.out, rank, ranks))


def joined(out: Tensor) -> Tensor:
    """Attention's out (B, H, T, E), the heads side by side (B, T, H E)."""
    return out.transpose(1, 2).flatten(-2)
