"""A mixture of experts in an MLP's place: a gate chooses some experts for each token.

Shapes: N tokens, each a row; D their width; E experts, k of them for a token: its slots.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self, cast

import torch
from torch import Tensor, nn

from simnet.models.mlp import Mlp
from simnet.models.shape import Experts
from simnet.models.shards import replaced


class Mixture(nn.Module):
    """Experts for chosen tokens, and a shared one for all (Fei et al. 2024, "DiT-MoE", section 3).

    The gate's scores are a softmax over all experts; the k best are used as they are, and so do
    not add up to 1.
    """

    def __init__(self, width: int, shape: Experts) -> None:
        super().__init__()
        self.top = shape.top
        self.gate = nn.Linear(width, shape.count, bias=False)
        inner = shape.inner or 4 * width
        experts = (Mlp(width, inner, gate=True, bias=False) for _ in range(shape.count))
        self.experts = cast("Sequence[Mlp]", nn.ModuleList(experts))
        self.shared = Mlp(width, shape.shared or 2 * width, gate=True, bias=False)

    def route(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Scores (N, E) of each expert, and the chosen ones (N, k), the best first."""
        scores = self.gate(rows).softmax(dim=-1)
        return scores, scores.topk(self.top, sorted=True).indices

    def forward(self, tokens: Tensor) -> Tensor:
        """Tokens (B, T, D) to the same, all on one device."""
        rows = tokens.flatten(0, -2)
        scores, chosen = self.route(rows)
        order = by_expert(chosen)
        loads = expert_loads(chosen, len(self.experts))
        out = unpermuted(run(self.experts, permuted(rows, order, self.top), loads), order)
        weighted = combined(out.view(*chosen.shape, -1), scores.gather(1, chosen))
        shared: Tensor = self.shared(rows)
        return (shared + weighted).view_as(tokens)

    def shard(self, rank: int, ranks: int) -> Self:
        """The same gate, and each expert with a rank's share of its width; see Block."""
        experts = nn.ModuleList(expert.shard(rank, ranks) for expert in self.experts)
        return replaced(self, experts=experts, shared=self.shared.shard(rank, ranks))


def by_expert(chosen: Tensor) -> Tensor:
    """Slots in the order of their experts, and of tokens within one: indices (N k,)."""
    return chosen.flatten().argsort(stable=True)


def expert_loads(chosen: Tensor, experts: int) -> list[int]:
    """How many slots fell to each expert; spread evenly where there are no values to count."""
    if chosen.is_meta:
        return even_loads(chosen.numel(), experts)
    loads: list[int] = torch.bincount(chosen.flatten(), minlength=experts).tolist()
    return loads


def even_loads(slots: int, experts: int) -> list[int]:
    """So many slots, spread over the experts as evenly as can be."""
    each, left = divmod(slots, experts)
    return [each + (expert < left) for expert in range(experts)]


def permuted(rows: Tensor, order: Tensor, top: int) -> Tensor:
    """The token of each slot, (len(order), D), in that order of the slots."""
    return rows.index_select(0, order.div(top, rounding_mode="floor"))


def unpermuted(out: Tensor, order: Tensor) -> Tensor:
    """Rows that came in that order of the slots, in the slots' own."""
    return torch.empty_like(out).index_copy(0, order, out)


def run(experts: Sequence[Mlp], rows: Tensor, loads: Sequence[int]) -> Tensor:
    """Each expert on its rows, of which there are so many, one expert's after the other's."""
    parts = rows.split(list(loads))
    return torch.cat([expert(part) for expert, part in zip(experts, parts, strict=True)])


def combined(out: Tensor, weights: Tensor) -> Tensor:
    """What a token gets (N, D): its slots' outputs (N, k, D), weighed (N, k)."""
    return torch.einsum("nkd,nk->nd", out, weights)
