"""One rank of two that runs every kind of transfer under torch.profiler, as a user's program would.

    python profiled.py FOLDER RANK

leaves kineto-RANK.json and et-RANK.json of one run of 3 steps and 2 blocks, annotated by
record_function, and stack-RANK.json.gz of another, whose modules are recorded by with_stack and
whose gathers are named by record_comm.
"""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable
from contextlib import nullcontext
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed._functional_collectives as functional
from torch import Tensor, nn
from torch.profiler import ExecutionTraceObserver, profile, record_function, schedule

STEPS, BLOCKS, WIDTH = 3, 2, 64
OTHER_SPLITS = {0: [2, 6], 1: [4, 4]}  # rows that each rank sends to each


class Block(nn.Module):
    """Computes, and asks for transfers of one kind after the other."""

    def __init__(self, rank: int, pair: Any) -> None:
        super().__init__()
        self.rank, self.pair = rank, pair
        self.linear = nn.Linear(WIDTH, WIDTH)

    def forward(self, x: Tensor, tag: str | None) -> Tensor:
        """The same shape."""
        y = torch.relu(self.linear(x))
        with dist.record_comm(tag) if tag else nullcontext():
            dist.all_gather_into_tensor(torch.empty(16, WIDTH), y)
        work = dist.all_reduce(y.clone(), async_op=True)
        z: Tensor = self.linear(y)
        work.wait()
        z = z + functional.all_gather_tensor(y, 0, [0, 1]).mean()
        dist.all_to_all_single(torch.empty(8, WIDTH), y, group=self.pair)
        self.uneven(y)
        self.messages(y)
        self.rooted(y)
        return z

    def uneven(self, y: Tensor) -> None:
        """An all-to-all of parts that differ."""
        takes = [OTHER_SPLITS[other][self.rank] for other in (0, 1)]
        out = torch.empty(sum(takes), WIDTH)
        dist.all_to_all_single(out, y, takes, OTHER_SPLITS[self.rank])

    def messages(self, y: Tensor) -> None:
        """Blocking in turn, then both ways at once."""
        first, then = (dist.send, dist.recv) if self.rank == 0 else (dist.recv, dist.send)
        first(y, 1 - self.rank)
        then(y, 1 - self.rank)
        pair = [(dist.isend, y), (dist.irecv, y.clone())]
        for work in dist.batch_isend_irecv([dist.P2POp(op, t, 1 - self.rank) for op, t in pair]):
            work.wait()

    def rooted(self, y: Tensor) -> None:
        """Collectives with a root, those that share a sum, and a barrier."""
        parts = [torch.empty_like(y) for _ in range(2)]
        dist.all_gather(parts, y)
        dist.reduce_scatter_tensor(torch.empty(4, WIDTH), y)
        dist.broadcast(y, 1)
        dist.reduce(y, 0)
        dist.gather(y, parts if self.rank == 0 else None, 0)
        dist.scatter(y, parts if self.rank == 0 else None, 0)
        dist.barrier()


def run(blocks: nn.ModuleList, step: Callable[[], None], *, named: bool) -> None:
    """Warm-up, which connects the ranks, and STEPS steps."""
    for number in range(STEPS + 1):
        x = torch.randn(8, WIDTH)
        for i, block in enumerate(blocks):
            with record_function(f"block {i}") if named else nullcontext():
                x = block(x, None if named else f"{number}/{i}/kv")
        step()


def main(folder: Path, rank: int) -> None:
    """Record both runs."""
    warnings.filterwarnings("ignore")  # several names are deprecated in favour of others
    torch.set_num_threads(1)
    store = dist.FileStore(str(folder / "store"), 2)
    limit = timedelta(seconds=60)
    dist.init_process_group("gloo", store=store, rank=rank, world_size=2, timeout=limit)
    blocks = nn.ModuleList(Block(rank, dist.new_group([0, 1])) for _ in range(BLOCKS))
    when = schedule(wait=0, warmup=1, active=STEPS, repeat=1)
    observer = ExecutionTraceObserver().register_callback(str(folder / f"et-{rank}.json"))
    options: dict[str, Any] = {"activities": [torch.profiler.ProfilerActivity.CPU]}

    def kept(name: str) -> Callable[[profile], None]:
        return lambda profiler: profiler.export_chrome_trace(str(folder / name))

    with torch.no_grad():
        with profile(
            **options,
            schedule=when,
            record_shapes=True,
            execution_trace_observer=observer,
            on_trace_ready=kept(f"kineto-{rank}.json"),
        ) as profiler:
            run(blocks, profiler.step, named=True)
        with profile(
            **options,
            schedule=when,
            record_shapes=True,
            with_stack=True,
            with_modules=True,
            on_trace_ready=kept(f"stack-{rank}.json.gz"),
        ) as profiler:
            run(blocks, profiler.step, named=False)
    dist.destroy_process_group()


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
