"""Blocks whose image tokens attend to each other, and then to the text that every rank has."""

from __future__ import annotations

from collections.abc import Callable
from typing import Self

import torch
from torch import Tensor, nn

from simnet.models.block import Block, Condition, Query, State
from simnet.models.modulation import modulate
from simnet.models.shape import Cross, Preset
from simnet.models.shards import replaced
from simnet.models.stream import CrossAttention, Stream


class CrossBlock(Block):
    """A DiT's block with cross-attention (Chen et al. 2023, "PixArt-alpha", figure 4)."""

    def __init__(self, shape: Preset, layer: int) -> None:
        super().__init__(shape, layer)
        assert isinstance(shape.text, Cross)
        self.image = Stream(shape, shape.hidden, shape.modulation.parts, mlp=shape.mlp)
        self.cross = CrossAttention(shape, shape.text.width or shape.hidden)

    def project(self, h: State, c: Condition) -> tuple[Query, Tensor, State]:
        """See Block; carry is the modulation and the text."""
        vector, text = c
        normed, parts = self.image.norm(h[0], vector)
        heads = self.image.heads(normed)
        return (heads[0],), heads[1:].contiguous(), (parts, text)

    @property
    def updates(self) -> tuple[Callable[[State, State, Tensor], State], ...]:
        """See Block."""
        return self.attention_update, self.text_update, self.mlp_update

    def attention_update(self, h: State, carry: State, out: Tensor) -> State:
        """What attention to the image adds."""
        del h
        return (self.image.attention_update(carry[0], out),)

    def text_update(self, h: State, carry: State, out: Tensor) -> State:
        """What attention to the text adds."""
        del out  # it is in h by now
        return (self.cross(h[0], carry[1]),)

    def mlp_update(self, h: State, carry: State, out: Tensor) -> State:
        """What the MLP adds."""
        del out  # it is in h by now
        return (self.image.mlp_update(h[0], carry[0]),)

    def shard(self, rank: int, ranks: int) -> Self:
        """See Block."""
        image, cross = self.image.shard(rank, ranks), self.cross.shard(rank, ranks)
        block = replaced(self, image=image, cross=cross)
        block.kind = self.shard_kind(rank, ranks)
        return block


class GivingBlock(CrossBlock):
    """One of the first half: what it makes is also for its mirror image in the second half.

    Bao et al. 2023, "All are Worth Words", section 3.1; HunyuanDiT. What is to be picked up later
    goes along in h.
    """

    def leave(self, h: State) -> State:
        """See Block."""
        return (*h, h[0])


class TakingBlock(CrossBlock):
    """One of the second half: what the next layer gets is mixed with what was laid by last."""

    def __init__(self, shape: Preset, layer: int) -> None:
        super().__init__(shape, layer)
        self.mix = nn.Linear(2 * shape.hidden, shape.hidden)

    def leave(self, h: State) -> State:
        """See Block."""
        image, *laid_by, last = h
        return self.mix(modulate(torch.cat((image, last), dim=-1))), *laid_by


def cross_block(shape: Preset, layer: int) -> CrossBlock:
    """The block for a layer; with long skips, of L layers the l-th feeds the (L - l)-th."""
    half = shape.layers // 2
    if shape.long_skips and layer < half - 1:
        return GivingBlock(shape, layer)
    if shape.long_skips and half <= layer < shape.layers - 1:
        return TakingBlock(shape, layer)
    return CrossBlock(shape, layer)
