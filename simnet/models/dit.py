"""A diffusion transformer (DiT), cut where a schedule may want to put a transfer between.

Shapes: T tokens (T' of them where a rank has a part), D hidden, C channels, H heads, E = D / H.
Everything but attention works on each token by itself.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import cast

import torch
from torch import Tensor, nn
from torch.nn.functional import embedding, gelu, layer_norm, silu

from simnet.models import attention
from simnet.models.presets import Preset

#: Width of the sinusoids that stand for time (Peebles & Xie 2023, TimestepEmbedder).
_TIME_WAVES = 256
#: Times run from 0 to 1 here, and from 0 to 1000 in the models that the sinusoids were made for.
_TIME_SCALE = 1000.0
_EPSILON = 1e-6


class Block(nn.Module):
    """One transformer block with adaptive layer norm (Peebles & Xie 2023, figure 3, adaLN)."""

    def __init__(self, shape: Preset, layer: int) -> None:
        super().__init__()
        self.layer = layer
        self.kind = shape  # blocks of one kind give results of the same shapes at the same cost
        self.heads = shape.heads
        width = shape.hidden
        self.modulation = nn.Linear(width, 6 * width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.up = nn.Linear(width, shape.mlp_ratio * width)
        self.down = nn.Linear(shape.mlp_ratio * width, width)

    def project(self, h: Tensor, c: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """What attention and `finish` need, of h (1, T', D) and the condition c (1, D).

        Gives q (1, H, T', E), kv (2, 1, H, T', E) in one piece, and gates (4, 1, 1, D).
        """
        parts = _modulation(self.modulation, c, 6)
        normed = _modulate(h, parts[0], parts[1])
        heads = self.qkv(normed).view(*h.shape[:2], 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        return heads[0], heads[1:].contiguous(), parts[2:]

    def attend(self, q: Tensor, kv: Tensor) -> tuple[Tensor, Tensor]:
        """Attention of q to kv: out (1, H, T', E) and its log-sum-exp (1, H, T')."""
        return attention.attend(q, kv)

    def attend_more(self, q: Tensor, kv: Tensor, out: Tensor, lse: Tensor) -> tuple[Tensor, Tensor]:
        """Attend to further keys and values, given the (out, lse) of those before."""
        return attention.merge(out, lse, *attention.attend(q, kv))

    def attend_patches(self, q: Tensor, *patches: Tensor) -> tuple[Tensor, Tensor]:
        """Attention to all ranks' keys and values at once, in rank order; (out, lse)."""
        return attention.attend(q, torch.cat(patches, dim=-2))

    def finish(self, h: Tensor, gates: Tensor, out: Tensor) -> Tensor:
        """The rest of the block: h (1, T', D), given attention's out (1, H, T', E)."""
        gate_attention, shift, scale, gate_mlp = gates.unbind()
        h = h + gate_attention * self.out(out.transpose(1, 2).flatten(-2))
        hidden = gelu(self.up(_modulate(h, shift, scale)), approximate="tanh")
        finished: Tensor = h + gate_mlp * self.down(hidden)
        return finished


class DiT(nn.Module):
    """The network: embed tokens, pass them through the blocks, read off the velocity."""

    position: Tensor  # (T, D), fixed
    waves: Tensor  # frequencies of the sinusoids that stand for time, float32

    def __init__(self, shape: Preset) -> None:
        super().__init__()
        width = shape.hidden
        self.register_buffer("position", torch.empty(shape.tokens, width))
        self.register_buffer("waves", torch.empty(_TIME_WAVES // 2))
        self.time_in = nn.Linear(_TIME_WAVES, width)
        self.time_out = nn.Linear(width, width)
        # One class more than there are: "none", for classifier-free guidance.
        self.label = nn.Parameter(torch.empty(shape.classes + 1, width))
        self.token = nn.Linear(shape.channels, width)
        blocks = nn.ModuleList(Block(shape, layer) for layer in range(shape.layers))
        self.blocks = cast("Sequence[Block]", blocks)
        self.modulation = nn.Linear(width, 2 * width)
        self.velocity = nn.Linear(width, shape.channels)

    def condition(self, time: Tensor, label: Tensor) -> Tensor:
        """The condition c (1, D) of a time (1,) between 0 and 1 and a class (1,)."""
        angles = _TIME_SCALE * time.float().unsqueeze(-1) * self.waves
        waves = torch.cat((angles.cos(), angles.sin()), dim=-1).to(self.position.dtype)
        c: Tensor = self.time_out(silu(self.time_in(waves))) + embedding(label, self.label)
        return c

    def embed(self, x: Tensor, position: Tensor) -> Tensor:
        """Tokens h (1, T', D) of the latent x (1, T', C) at these positions (T', D)."""
        h: Tensor = self.token(x) + position
        return h

    def head(self, h: Tensor, c: Tensor) -> Tensor:
        """The velocity (1, T', C) that the tokens h (1, T', D) have come to."""
        velocity: Tensor = self.velocity(_modulate(h, *_modulation(self.modulation, c, 2)))
        return velocity

    def forward(self, x: Tensor, time: Tensor, label: Tensor) -> Tensor:
        """All of it on one device: velocity (1, T, C) of the latent x (1, T, C)."""
        c = self.condition(time, label)
        h = self.embed(x, self.position)
        for block in self.blocks:
            q, kv, gates = block.project(h, c)
            out, _ = block.attend(q, kv)
            h = block.finish(h, gates, out)
        return self.head(h, c)


def build(shape: Preset, seed: int, dtype: torch.dtype, device: str | torch.device) -> DiT:
    """A model with weights that depend on the shape and the seed alone.

    They are drawn in float32 on the CPU, whatever the device and the type they end up in. On
    "meta" nothing is drawn and nothing allocated.
    """
    with torch.device("meta"):
        model = DiT(shape)
    model.eval().requires_grad_(requires_grad=False)
    model.to(dtype).to_empty(device=device)
    model.waves = _frequencies(_TIME_WAVES // 2).to(device)  # in float32, whatever the type
    if not model.position.is_meta:
        model.position.copy_(_position(shape.tokens, shape.hidden))
        _draw(model, torch.Generator().manual_seed(seed))
    return model


def _draw(model: DiT, generator: torch.Generator) -> None:
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
        gates = block.modulation.bias.view(6, -1)[2::3]
        gates.fill_((2 * len(model.blocks)) ** -0.5)


def _modulation(linear: nn.Linear, c: Tensor, parts: int) -> Tensor:
    """The shifts, scales and gates (parts, 1, 1, D) that the condition c (1, D) asks for."""
    modulation: Tensor = linear(silu(c))
    return modulation.view(len(c), parts, -1).transpose(0, 1).unsqueeze(2)


def _modulate(h: Tensor, shift: Tensor, scale: Tensor) -> Tensor:
    return layer_norm(h, h.shape[-1:], eps=_EPSILON) * (1 + scale) + shift


def _frequencies(count: int) -> Tensor:
    """Falling geometrically from 1 towards 1/10000 (Vaswani et al. 2017, section 3.5)."""
    return torch.exp(-math.log(10_000) * torch.arange(count) / count)


def _position(tokens: int, width: int) -> Tensor:
    """Where each token stands in the image (T, D): sinusoids of its row and of its column.

    The image is as square as the number of tokens allows; a prime number makes one row.
    """
    rows = next(n for n in range(math.isqrt(tokens), 0, -1) if tokens % n == 0)
    token, columns = torch.arange(tokens), tokens // rows
    frequencies = _frequencies(width // 4)
    angles = [
        place.unsqueeze(1) * frequencies
        for place in (torch.div(token, columns, rounding_mode="floor"), token % columns)
    ]
    return torch.cat([wave for a in angles for wave in (a.sin(), a.cos())], dim=1)
