"""Programs as their users would write them: functions that return a module and its inputs."""

from __future__ import annotations

from importlib import import_module
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed import _functional_collectives as funcol


class Layers(nn.Module):
    """Three layers, each adding up over all ranks while it goes on computing."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Module()
        self.inner.layers = nn.ModuleList(nn.Linear(64, 64, bias=False) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        """(4, 64) to (4, 64)."""
        for layer in self.inner.layers:  # type: ignore[union-attr]
            x = layer(x)
            work = dist.all_reduce(x, async_op=True)
            beside = 2 * x
            work.wait()
            x = x + beside
        return x


def layers() -> tuple[nn.Module, Tensor]:
    """A sequence of exchanges that are waited for later."""
    return Layers(), torch.zeros(4, 64)


class Everything(nn.Module):
    """Every kind of exchange that torch.distributed has, on 2 ranks or more."""

    def __init__(self) -> None:
        super().__init__()
        ranks = list(range(dist.get_world_size()))
        self.pair = dist.new_group(ranks[:2])
        self.twin = dist.new_group(ranks)
        self.linear = nn.Linear(8, 8)

    def forward(self, *, x: Tensor, half: Tensor) -> Tensor:
        """x (4, 8), half (8,) in another type."""
        rank, ranks = dist.get_rank(), dist.get_world_size()
        x = self.linear(x)
        rows = [torch.empty_like(x) for _ in range(ranks)]
        dist.all_gather(rows, x)
        dist.all_gather_into_tensor(torch.empty(ranks * 4, 8), x, group=self.twin)
        dist.all_to_all_single(torch.empty_like(x), x)
        uneven = [4] + [0] * (ranks - 1)
        taken = torch.empty(4 * ranks if rank == 0 else 0, 8)
        dist.all_to_all_single(taken, x, [4 if rank == 0 else 0] * ranks, uneven)
        dist.broadcast(half, 1)
        dist.barrier()
        if rank in (0, 1):
            dist.all_reduce(half, group=self.pair)
        if rank == 0:
            dist.send(x, ranks - 1)
        if rank == ranks - 1:
            dist.recv(x, 0)
        dist.reduce_scatter_tensor(torch.empty(4 // ranks, 8), x)
        gathered: Tensor = funcol.all_gather_tensor(
            x, 0, dist.distributed_c10d._get_default_group()
        )
        return gathered + 1


def everything() -> tuple[nn.Module, dict[str, Tensor]]:
    """One exchange after the other."""
    return Everything(), {"x": torch.zeros(4, 8), "half": torch.zeros(8, dtype=torch.bfloat16)}


class Stages(nn.Module):
    """A pipeline, each rank with a layer of its own width."""

    def __init__(self) -> None:
        super().__init__()
        self.rank, self.ranks = dist.get_rank(), dist.get_world_size()
        self.layers = nn.ModuleList([nn.Linear(16, 16 * (1 + self.rank))])

    def forward(self, x: Tensor) -> Tensor:
        """(1, 16) on every rank."""
        if self.rank > 0:
            dist.recv(x, self.rank - 1)
        y: Tensor = self.layers[0](x)
        if self.rank < self.ranks - 1:
            dist.send(y[:, :16].contiguous(), self.rank + 1)
        return y


def stages() -> tuple[nn.Module, tuple[Tensor]]:
    """Ranks that differ."""
    return Stages(), (torch.zeros(1, 16),)


def flux(**degrees: int) -> tuple[nn.Module, dict[str, Any]]:
    """A small one of diffusers, shared by its own context parallelism."""
    diffusers: Any = import_module("diffusers")
    model = diffusers.FluxTransformer2DModel(
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=4,
        joint_attention_dim=32,
        pooled_projection_dim=8,
        in_channels=8,
        axes_dims_rope=(4, 6, 6),
    )
    if degrees:
        model.enable_parallelism(config=diffusers.ContextParallelConfig(**degrees))
    return model.eval(), {
        "hidden_states": torch.zeros(1, 12, 8),
        "encoder_hidden_states": torch.zeros(1, 4, 32),
        "pooled_projections": torch.zeros(1, 8),
        "timestep": torch.zeros(1),
        "img_ids": torch.zeros(12, 3),
        "txt_ids": torch.zeros(4, 3),
        "return_dict": False,
    }


def flux_ulysses() -> tuple[nn.Module, dict[str, Any]]:
    """On 2 ranks."""
    return flux(ulysses_degree=2)


def looks() -> tuple[nn.Module, Tensor]:
    """Decides by a value."""

    class Looks(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x if x.sum() > 0 else -x

    return Looks(), torch.zeros(3)


def breaks() -> tuple[nn.Module, Tensor]:
    """Fails in its forward."""
    return nn.Linear(3, 3), torch.zeros(4)


def cannot_be_made() -> tuple[nn.Module, Tensor]:
    """Needs a value while it is made."""
    return nn.Linear(int(torch.ones(1).item()), 3), torch.zeros(1)


def alone() -> nn.Module:
    """Forgets its inputs."""
    return nn.Linear(3, 3)
