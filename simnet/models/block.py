"""What schedules see of a transformer's layer: three pieces, with attention between the first two.

Shapes: B batch (the forwards of a step), T' image tokens and S' text tokens of a part of the
sequence, D hidden, H heads, E = D / H.

    q, kv, carry = block.project(h, c)      each token by itself
    out, lse = block.attend(q, kv)          the one place where tokens meet: a schedule's business
    h = block.finish(h, carry, out)         each token by itself

`h` is a tuple: the image's tokens (B, T', D) first, then whatever else a family of models hands
from layer to layer. `kv` (2, B, H, S' + T', E) is one tensor, for other parts need it. `q` is a
tuple: the queries (B, H, S' + T', E), and where each part has all of the text for itself, also the
text's keys and values (2, B, H, S, E), which no other part needs. `c` and `carry` are the block's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor, nn

from simnet.models import attention
from simnet.models.shape import Preset

#: Tokens of a part of the sequence, and what goes along with them.
State = tuple[Tensor, ...]
#: What a part asks, and what it has to itself.
Query = tuple[Tensor, ...]
#: What tokens are modulated by; in models with cross-attention also the text.
Condition = tuple[Tensor, ...]


class Block(nn.Module):
    """One layer. What `finish` does is a sum of updates, each linear in the heads and MLP's width.

    So a tensor-parallel rank takes a `shard` of the block, and adds to `h` the sum of all ranks'
    updates (Shoeybi et al. 2019, "Megatron-LM", section 3).
    """

    def __init__(self, shape: Preset, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.shape = shape
        # Blocks of one kind give results of the same shapes at the same cost.
        self.kind: tuple[object, ...] = (shape.name,)

    @property
    def kind_name(self) -> str:
        """The kind as text, without the model's name: "JointBlock Stream 4"."""
        details = [part.__name__ if isinstance(part, type) else str(part) for part in self.kind[1:]]
        return " ".join([type(self).__name__, *details])

    def shard_kind(self, rank: int, ranks: int) -> tuple[object, ...]:
        """Of a rank's shard of it: only the first adds biases."""
        return (*self.kind, ranks, "first" if rank == 0 else "other")

    def project(self, h: State, c: Condition) -> tuple[Query, Tensor, State]:
        """What attention and `finish` need: q, kv and carry."""
        raise NotImplementedError

    @property
    def updates(self) -> tuple[Callable[[State, State, Tensor], State], ...]:
        """What to `add` to h, one after the other: functions of (h, carry, out)."""
        raise NotImplementedError

    def attend(self, q: Query, kv: Tensor) -> tuple[Tensor, Tensor]:
        """Attention to kv, and to one's own text: out (B, H, S' + T', E) and its log-sum-exp."""
        return attention.attend(q[0], kv) if len(q) == 1 else self.attend_patches(q, kv)

    def attend_more(self, q: Query, kv: Tensor, out: Tensor, lse: Tensor) -> tuple[Tensor, Tensor]:
        """Attend to further keys and values, given the (out, lse) of those before."""
        return attention.merge(out, lse, *attention.attend(q[0], kv))

    def attend_patches(self, q: Query, *patches: Tensor) -> tuple[Tensor, Tensor]:
        """Attention to all parts' keys and values at once, in their order; (out, lse)."""
        queries, *text = q
        return attention.attend(queries, torch.cat((*text, *patches), dim=-2))

    def finish(self, h: State, carry: State, out: Tensor) -> State:
        """The rest of the layer: h after it, given attention's out."""
        for update in self.updates:
            h = self.add(h, *update(h, carry, out))
        return self.leave(h)

    def add(self, h: State, *updates: Tensor) -> State:
        """H with an update added to the image, and perhaps one to the text."""
        added = (tokens + update for tokens, update in zip(h, updates, strict=False))
        return (*added, *h[len(updates) :])

    def leave(self, h: State) -> State:
        """What the next layer gets."""
        return h

    def shard(self, rank: int, ranks: int) -> Self:
        """The block with this rank's share of the heads and of the MLP's width.

        Both must split evenly. The shares' updates add up to the block's.
        """
        raise NotImplementedError
