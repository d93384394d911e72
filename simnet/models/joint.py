"""Attention over all tokens, with weights of their own for the image's and the text's if any."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor

from simnet.models.block import Block, Condition, Query, State
from simnet.models.modulation import GATE, gated
from simnet.models.shape import Joint, Preset
from simnet.models.shards import replaced
from simnet.models.stream import Entry, Stream


class JointBlock(Block):
    """A DiT's block (Peebles & Xie 2023, figure 3), and an MM-DiT's (Esser et al. 2024, figure 2).

    With text, h is (image, text), and text stands before the image in the one attention.
    """

    def __init__(self, shape: Preset, layer: int) -> None:
        super().__init__(shape, layer)
        parts = shape.modulation.parts
        self.image = Stream(shape, shape.hidden, parts, mlp=shape.mlp)
        self.text: Entry | None = None
        if isinstance(shape.text, Joint):
            self.text = self._beside(shape, shape.text)
            self.kind = (shape.name, type(self.text))

    def _beside(self, shape: Preset, text: Joint) -> Entry:
        """The text's stream; in the last layer of some models only its way in."""
        width, parts = text.width or shape.hidden, shape.modulation.parts
        if text.ends and self.layer == shape.layers - 1:
            return Entry(shape, width, [part for part in parts if part < GATE])
        stream = Stream(shape, width, parts, mlp=text.mlp)
        if text.shared:
            stream.qkv, stream.out, stream.mlp = self.image.qkv, self.image.out, self.image.mlp
        return stream

    def project(self, h: State, c: Condition) -> tuple[Query, Tensor, State]:
        """See Block; carry is the modulation of each stream."""
        normed, parts = self.image.norm(h[0], c[0])
        heads = self.image.heads(normed)
        if self.text is None:
            return (heads[0],), heads[1:].contiguous(), (parts,)
        normed, text_parts = self.text.norm(h[1], c[0])
        heads = torch.cat((self.text.heads(normed), heads), dim=-2)
        return *meet(self.shape, heads, h[1].shape[1]), (parts, text_parts)

    @property
    def updates(self) -> tuple[Callable[[State, State, Tensor], State], ...]:
        """See Block."""
        return self.attention_update, self.mlp_update

    def attention_update(self, h: State, carry: State, out: Tensor) -> State:
        """What attention adds to each stream."""
        if not isinstance(self.text, Stream):
            return (self.image.attention_update(carry[0], out[..., -h[0].shape[1] :, :]),)
        image, text = parted(out, h[1].shape[1], dim=-2)
        update = self.image.attention_update(carry[0], image)
        return update, self.text.attention_update(carry[1], text)

    def mlp_update(self, h: State, carry: State, out: Tensor) -> State:
        """What the MLP adds to each stream."""
        del out  # it is in h by now
        update = self.image.mlp_update(h[0], carry[0])
        if not isinstance(self.text, Stream):
            return (update,)
        return update, self.text.mlp_update(h[1], carry[1])

    def shard(self, rank: int, ranks: int) -> Self:
        """See Block."""
        block = replaced(self, image=self.image.shard(rank, ranks))
        if self.text is not None:
            block = replaced(block, text=self.text.shard(rank, ranks))
        block.kind = self.shard_kind(rank, ranks)
        return block


class SingleBlock(Block):
    """One set of weights for all tokens, attention and MLP side by side (FLUX's single stream).

    Dehghani et al. 2023, "Scaling Vision Transformers to 22 Billion Parameters", section 2.1.
    """

    def __init__(self, shape: Preset, layer: int) -> None:
        super().__init__(shape, layer)
        parts = [part for part in shape.modulation.parts if part <= GATE]
        self.all = Stream(shape, shape.hidden, parts, mlp=shape.mlp)

    def project(self, h: State, c: Condition) -> tuple[Query, Tensor, State]:
        """See Block; carry is the modulation, and the tokens as the MLP takes them in."""
        image, text = h
        together = torch.cat((text, image.expand(len(text), -1, -1)), dim=1)
        normed, parts = self.all.norm(together, c[0])
        return *meet(self.shape, self.all.heads(normed), text.shape[1]), (parts, normed)

    @property
    def updates(self) -> tuple[Callable[[State, State, Tensor], State], ...]:
        """See Block."""
        return (self.update,)

    def update(self, h: State, carry: State, out: Tensor) -> State:
        """What attention and MLP add to each stream."""
        parts, normed = carry
        update = self.all.leave_attention(out) + self.all.mlp(normed)
        gate = self.all.modulation.name(parts)[GATE]
        return parted(gated(update, gate), h[1].shape[1], dim=1)

    def shard(self, rank: int, ranks: int) -> Self:
        """See Block."""
        block = replaced(self, all=self.all.shard(rank, ranks))
        block.kind = self.shard_kind(rank, ranks)
        return block


def meet(shape: Preset, heads: Tensor, text: int) -> tuple[Query, Tensor]:
    """q and kv, of the heads (3, B, H, S' + T', E) of so many text tokens and then the image's.

    Where a part of the image has all of the text, so have the other parts, and nobody needs to
    tell the others: then the text's keys and values stay with the queries.
    """
    whole_text = text == shape.text_tokens and heads.shape[-2] - text < shape.tokens
    if whole_text:
        return (heads[0], heads[1:, ..., :text, :]), heads[1:, ..., text:, :].contiguous()
    return (heads[0],), heads[1:].contiguous()


def parted(tokens: Tensor, text: int, dim: int) -> tuple[Tensor, Tensor]:
    """The image's and the text's share of tokens along a dimension, where the text comes first."""
    image = tokens.shape[dim] - text
    return tokens.narrow(dim, text, image), tokens.narrow(dim, 0, text)
