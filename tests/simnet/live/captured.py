"""A program of somebody's that uses every kind of transfer, recorded from outside in three ranks.

captured.py FOLDER; leaves the trace FOLDER/T.
"""

from __future__ import annotations

import sys
from pathlib import Path

import torch
import torch.distributed as dist
from torch import multiprocessing, nn

from traces.capture import capture

RANKS, STEPS = 3, 4


class Attention(nn.Module):
    """Mixes tokens of all ranks, in every way there is."""

    def __init__(self, pair: dist.ProcessGroup) -> None:
        super().__init__()
        self.rank, self.pair = dist.get_rank(), pair
        self.to_k = nn.Linear(96, 96)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """(48, 96) in and out."""
        k = self.to_k(x)
        everybody = [torch.empty_like(k) for _ in range(RANKS)]
        gathered = dist.all_gather(everybody, k, async_op=True)
        own = torch.empty(16, 96)
        dist.reduce_scatter(own, list(k.chunk(RANKS)))
        gathered.wait()
        x = x + torch.stack(everybody).mean(0)
        self._uneven(x)
        self._rooted(k, own)
        self._messages(x)
        if self.rank != 1:
            dist.all_reduce(own, group=self.pair)
        return x

    def _uneven(self, x: torch.Tensor) -> None:
        """One row for rank 0, two for rank 1, three for rank 2; of each rank's."""
        got = x.new_empty((RANKS * (self.rank + 1), 96))
        takes = [self.rank + 1] * RANKS
        dist.all_to_all_single(got, x[:6].contiguous(), takes, [1, 2, 3])

    def _rooted(self, k: torch.Tensor, own: torch.Tensor) -> None:
        dist.broadcast(k, 1)
        dist.reduce(k, 2)
        is_root = self.rank == 2
        dist.gather(own, [torch.empty_like(own) for _ in range(RANKS)] if is_root else None, 2)
        dist.scatter(own, list(k.contiguous().chunk(RANKS)) if is_root else None, 2)
        dist.barrier()

    def _messages(self, x: torch.Tensor) -> None:
        """Round a ring, both ways posted together, and waited for the other way round."""
        got = torch.empty_like(x)
        to, source = (self.rank + 1) % RANKS, (self.rank - 1) % RANKS
        posted = [dist.P2POp(dist.isend, x, to), dist.P2POp(dist.irecv, got, source)]
        for work in reversed(dist.batch_isend_irecv(posted)):
            work.wait()


class Block(nn.Module):
    """Attention, and an MLP of unlike size on each rank."""

    def __init__(self, pair: dist.ProcessGroup) -> None:
        super().__init__()
        self.attn = Attention(pair)
        inner = 96 * (1 + dist.get_rank())
        self.mlp = nn.Sequential(nn.Linear(96, inner), nn.Linear(inner, 96))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Of the same shape."""
        mixed: torch.Tensor = self.mlp(self.attn(x))
        return x + mixed


class Denoiser(nn.Module):
    """Two blocks."""

    def __init__(self, pair: dist.ProcessGroup) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block(pair) for _ in range(2))

    def forward(self, x: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        """Of the same shape."""
        for block in self.blocks:
            x = block(x + timestep)
        return x


def record(rank: int, folder: str) -> None:
    """One rank."""
    torch.set_num_threads(1)
    meet = f"file://{folder}/meet"
    dist.init_process_group("gloo", init_method=meet, rank=rank, world_size=RANKS)
    model = Denoiser(dist.new_group([0, 2])).eval()
    x = torch.zeros(48, 96)
    with torch.no_grad():
        model(x, torch.tensor(0.0))  # connections are there from now on
        with capture(model, out=Path(folder) / "T"):
            for step in range(STEPS):
                x = model(x, torch.tensor(float(step)))
    dist.destroy_process_group()


if __name__ == "__main__":
    multiprocessing.spawn(record, (sys.argv[1],), nprocs=RANKS)
