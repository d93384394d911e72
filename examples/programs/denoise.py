"""A program as people have it: a small denoiser, its sequence spread over the ranks by torchrun.

It knows nothing of Thinwire. Each rank keeps some tokens; for attention it gathers everybody's
keys and values.
"""

from __future__ import annotations

import argparse

import torch
import torch.distributed as dist
from torch import nn


class Attention(nn.Module):
    """Of a rank's own tokens to everybody's."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.to_q, self.to_k, self.to_v = (nn.Linear(width, width) for _ in range(3))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """`x` and the result are (images, own tokens, width)."""
        own = torch.stack([self.to_k(x), self.to_v(x)])
        everybody = [torch.empty_like(own) for _ in range(dist.get_world_size())]
        gathered = dist.all_gather(everybody, own, async_op=True)
        q = self.to_q(x)  # while keys and values are on their way
        gathered.wait()
        q, k, v = (
            part.unflatten(-1, (self.heads, -1)).transpose(1, 2)
            for part in (q, *torch.cat(everybody, dim=2))
        )
        return nn.functional.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)


class Block(nn.Module):
    """A transformer block."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.attn = Attention(width, heads=4)
        self.mlp = nn.Sequential(
            nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Of the same shape."""
        x = x + self.attn(self.norm(x))
        return x + self.mlp(x)


class Denoiser(nn.Module):
    """A stack of blocks."""

    def __init__(self, width: int = 256, depth: int = 4) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(width) for _ in range(depth))

    def forward(self, x: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        """The noise in `x`."""
        for block in self.blocks:
            x = block(x + timestep)
        return x


def main() -> None:
    """Denoise something."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--steps", type=int, default=4)
    steps = parser.parse_args().steps
    dist.init_process_group("gloo")
    torch.manual_seed(0)
    model = Denoiser().eval()
    x = torch.randn(1, 256, 256).chunk(dist.get_world_size(), dim=1)[dist.get_rank()]
    with torch.inference_mode():
        for step in range(steps):
            x = x - model(x, torch.tensor(1 - step / steps)) / steps
    print(f"rank {dist.get_rank()}: the latents' norm is {x.norm():.1f}")
    dist.destroy_process_group()


if __name__ == "__main__":
    main()
