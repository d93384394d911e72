"""What programs ask of torch.distributed is recorded, whatever they call it: two gloo processes."""

from __future__ import annotations

import gc
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import nn

from traces.capture import capture
from traces.trace import Trace

CALLS = """
import warnings
import torch.distributed._functional_collectives as functional
warnings.simplefilter("ignore")
peer = 1 - rank
pair = dist.new_group([0, 1])
x = torch.zeros(4, 3)

class Calls(nn.Module):
    def forward(self, x):
        outs = [torch.zeros(4, 3) for _ in range(2)]
        dist.all_reduce(x)
        dist.all_gather(outs, x)
        dist.all_gather_into_tensor(torch.zeros(8, 3), x, group=pair)
        dist.broadcast(x, src=1)
        dist.reduce(x, dst=1)
        dist.gather(x, outs if rank == 0 else None, dst=0)
        dist.scatter(x, outs if rank == 1 else None, src=1)
        dist.reduce_scatter(x, outs)
        dist.reduce_scatter_tensor(torch.zeros(2, 3), x)
        dist.all_to_all_single(torch.zeros(4, 3), x)
        takes, gives = ([1, 3], [1, 2]) if rank == 0 else ([2, 1], [3, 1])
        dist.all_to_all_single(torch.zeros(sum(takes), 3), torch.zeros(sum(gives), 3), takes, gives)
        dist.all_to_all(outs, [torch.zeros(4, 3) for _ in range(2)])
        dist.barrier()
        with dist._coalescing_manager():
            dist.all_reduce(x)
            dist.all_reduce(outs[0])
        works = dist.batch_isend_irecv(
            [dist.P2POp(dist.isend, x, peer), dist.P2POp(dist.irecv, outs[0], peer)]
        )
        for work in works:
            work.wait()
        (dist.send if rank == 0 else dist.recv)(x, peer)
        waits = functional.all_gather_tensor(x, 0, dist.group.WORLD)
        waits = functional.all_to_all_single(x, None, None, dist.group.WORLD) + waits[:4]
        waits = waits + functional.broadcast(x, 1, dist.group.WORLD)
        never = dist.all_reduce(x, async_op=True)
        return waits

model = Calls()
with torch.inference_mode(), capture(model, out):
    model(x)
dist.barrier()
dist.destroy_process_group()
"""
#: kind, bytes, dst, src, parts of rank 0.
EXPECTED = [
    ("all_reduce", 48, -1, -1, ""),
    ("all_gather", 48, -1, -1, ""),
    ("all_gather", 48, -1, -1, ""),
    ("broadcast", 48, -1, 1, ""),
    ("reduce", 48, 1, -1, ""),
    ("gather", 48, 0, -1, ""),
    ("scatter", 96, -1, 1, ""),
    ("reduce_scatter", 96, -1, -1, ""),
    ("reduce_scatter", 48, -1, -1, ""),
    ("all_to_all", 48, -1, -1, ""),
    ("all_to_all", 36, -1, -1, "12,24"),
    ("all_to_all", 96, -1, -1, ""),
    ("barrier", 0, -1, -1, ""),
    ("all_reduce", 48, -1, -1, ""),
    ("all_reduce", 48, -1, -1, ""),
    ("send", 48, 1, -1, ""),
    ("recv", 0, -1, 1, ""),
    ("send", 48, 1, -1, ""),
    ("all_gather", 48, -1, -1, ""),
    ("all_to_all", 48, -1, -1, "24,24"),  # torch itself fills in the parts there
    ("broadcast", 48, -1, 1, ""),
    ("all_reduce", 48, -1, -1, ""),
]


@pytest.mark.slow
def test_every_call_is_a_transfer_and_every_wait_a_wait(
    run_ranks: Callable[..., list[str]], tmp_path: Path
) -> None:
    """With its size, peers and group, in program order; what nobody waits for has no wait."""
    run_ranks(CALLS)
    trace = Trace.open(tmp_path / "T")

    rows = trace.ops[trace.ops["rank"] == 0]
    transfers = rows[(rows["group"] != "")]
    found = transfers[["kind", "bytes", "dst", "src", "parts"]].itertuples(index=False, name=None)
    assert list(found) == EXPECTED
    assert set(transfers["group"]) == {"0,1"}
    assert transfers["stream"].nunique() == 2
    assert transfers["stream"].value_counts()["world"] == len(EXPECTED) - 1
    assert set(transfers["name"]) == {"Calls"}
    waits = rows[rows["kind"] == "wait"]["waits_for"].tolist()
    assert sorted(waits) == transfers["seq"].tolist()[:-1]
    assert transfers["end_s"].iloc[:-1].notna().all()
    ends = transfers.set_index("seq")["end_s"]
    waited = rows[rows["kind"] == "wait"].set_index("waits_for")["end_s"]
    assert (ends[waited.index] <= waited).all()

    shapes = transfers.groupby("kind")["shape"].agg(set)
    assert shapes["all_to_all"] == {"4x3:float32", "3x3:float32", "24:float32"}
    assert shapes["scatter"] == {"24:float32"}
    assert shapes["barrier"] == {""}


def test_process_groups_are_let_go(model: nn.Module, tmp_path: Path) -> None:
    """A recording keeps none of them from going when the program takes it apart."""
    dist.init_process_group("gloo", store=dist.HashStore(), rank=0, world_size=1)
    try:
        known = weakref.ref(dist.group.WORLD)
        with capture(model, tmp_path / "T"):
            model(torch.zeros(1, 4, 8), 0)
            dist.all_reduce(torch.zeros(3))
    finally:
        dist.destroy_process_group()
    gc.collect()
    assert known() is None
    assert "all_reduce" in set(Trace.open(tmp_path / "T").ops["kind"])
