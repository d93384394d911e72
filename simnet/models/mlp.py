"""The two layers that each token passes through by itself."""

from __future__ import annotations

from typing import Self

from torch import Tensor, nn
from torch.nn.functional import gelu, silu

from simnet.models.shards import by_input, by_output, replaced


class Mlp(nn.Module):
    """Two layers with a GELU between, or a gate."""

    def __init__(self, width: int, inner: int, *, gate: bool, bias: bool = True) -> None:
        super().__init__()
        self.gate = gate
        self.up = nn.Linear(width, (2 if gate else 1) * inner, bias=bias)
        self.down = nn.Linear(inner, width, bias=bias)

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (B, T, width) to the same."""
        inner = self.up(tokens)
        if self.gate:
            gate, inner = inner.chunk(2, dim=-1)
            inner = silu(gate) * inner
        else:
            inner = gelu(inner, approximate="tanh")
        out: Tensor = self.down(inner)
        return out

    def shard(self, rank: int, ranks: int) -> Self:
        """See Block."""
        groups = 2 if self.gate else 1
        up = by_output(self.up, rank, ranks, groups)
        return replaced(self, up=up, down=by_input(self.down, rank, ranks))
