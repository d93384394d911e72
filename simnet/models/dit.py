"""A diffusion transformer (DiT), cut where a schedule may want to put a transfer between.

Shapes: T tokens (T' of them where a rank has a part), S text tokens, D hidden, C channels, B batch
(the forwards of a step). Everything but attention works on each token by itself.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, silu

from simnet.models.block import Block, Condition, State
from simnet.models.cross import cross_block
from simnet.models.experts import ExpertBlock
from simnet.models.initial import draw, frequencies, position
from simnet.models.joint import JointBlock, SingleBlock
from simnet.models.modulation import SCALE, SHIFT, modulate, modulation
from simnet.models.shape import Cross, Joint, Preset
from simnet.models.weights import load

#: Width of the sinusoids that stand for time (Peebles & Xie 2023, TimestepEmbedder).
_TIME_WAVES = 256
#: Times run from 0 to 1 here, and from 0 to 1000 in the models that the sinusoids were made for.
_TIME_SCALE = 1000.0


class DiT(nn.Module):
    """The network: embed tokens, pass them through the blocks, read off the velocity."""

    position: Tensor  # (T, D), fixed
    waves: Tensor  # frequencies of the sinusoids that stand for time, float32

    def __init__(self, shape: Preset) -> None:
        super().__init__()
        self.shape = shape
        width = shape.hidden
        vector = shape.modulation.width or width
        self.register_buffer("position", torch.empty(shape.tokens, width))
        self.register_buffer("waves", torch.empty(_TIME_WAVES // 2))
        self.time_in = nn.Linear(_TIME_WAVES, vector)
        self.time_out = nn.Linear(vector, vector)
        if shape.text is None:
            # One class more than there are: "none", for classifier-free guidance.
            self.label = nn.Parameter(torch.empty(shape.classes + 1, vector))
        else:
            self.text = nn.Linear(shape.text.channels, shape.text.width or width)
        self.token = nn.Linear(shape.channels, width)
        if shape.modulation.shared:
            self.modulations = nn.Linear(vector, len(shape.modulation.parts) * width)
        blocks = nn.ModuleList(_block(shape, layer) for layer in range(shape.layers))
        self.blocks = cast("Sequence[Block]", blocks)
        self.modulation = modulation(shape, width, (SHIFT, SCALE))
        self.velocity = nn.Linear(width, shape.channels)

    def condition(self, time: Tensor, label: Tensor) -> Condition:
        """What times (1,) or (B,) between 0 and 1, and what is to be drawn, mean to each block.

        `label` is classes (B,), or the tokens of texts (B, S, channels of the text).
        """
        angles = _TIME_SCALE * time.float().unsqueeze(-1) * self.waves
        waves = torch.cat((angles.cos(), angles.sin()), dim=-1).to(self.position.dtype)
        c = self.time_out(silu(self.time_in(waves)))
        if self.shape.text is None:
            c = c + embedding(label, self.label)
        if self.shape.modulation.shared:
            c = self.modulations(silu(c))
        c = c.expand(len(label), -1)
        return (c, self.text(label)) if isinstance(self.shape.text, Cross) else (c,)

    def embed(self, c: Condition, x: Tensor, position: Tensor, *text: Tensor) -> State:
        """h of the latents x (n, T', C) at these positions (T', D), for the forwards of c.

        A model with joint attention has some text besides, (B, S', channels of the text).
        """
        h: Tensor = self.token(x) + position
        if len(h) > 1:  # one image's forwards are told apart when they are modulated
            h = h.repeat(len(c[0]) // len(h), 1, 1)
        return h, *(self.text(tokens) for tokens in text)

    def head(self, h: State, c: Condition) -> Tensor:
        """The velocity (B, T', C) that the image's tokens in h have come to."""
        named = self.modulation.name(self.modulation(c[0]))
        velocity: Tensor = self.velocity(modulate(h[0], named[SHIFT], named[SCALE]))
        return velocity

    def forward(self, x: Tensor, time: Tensor, label: Tensor) -> Tensor:
        """All of it on one device: velocity (B, T, C) of the latents x (n, T, C)."""
        c = self.condition(time, label)
        text = (label,) if isinstance(self.shape.text, Joint) else ()
        h = self.embed(c, x, self.position, *text)
        for block in self.blocks:
            q, kv, carry = block.project(h, c)
            out, _ = block.attend(q, kv)
            h = block.finish(h, carry, out)
        return self.head(h, c)


def build(shape: Preset, seed: int, dtype: torch.dtype, device: str | torch.device) -> DiT:
    """A model with weights that depend on the shape and the seed alone, or were trained.

    They are read, or drawn, in float32 on the CPU, whatever the device and the type they end up
    in. On "meta" nothing is drawn and nothing allocated.
    """
    with torch.device("meta"):
        model = DiT(shape)
    model.eval().requires_grad_(requires_grad=False)
    model.to(dtype).to_empty(device=device)
    model.waves = frequencies(_TIME_WAVES // 2).to(device)  # in float32, whatever the type
    if not model.position.is_meta:
        model.position.copy_(position(shape.grid, shape.hidden))
        if shape.trained:
            load(model, shape.name.split(":")[0])
        else:
            draw(model, torch.Generator().manual_seed(seed))
    return model


def _block(shape: Preset, layer: int) -> Block:
    if isinstance(shape.text, Cross):
        return cross_block(shape, layer)
    if layer >= shape.layers - shape.single_layers:
        return SingleBlock(shape, layer)
    if shape.experts is not None:
        return ExpertBlock(shape, layer)
    return JointBlock(shape, layer)
