"""Programs of programs.py on two gloo ranks, watched: what each asks for, as JSON for each rank."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping
from importlib import import_module
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import multiprocessing

from simnet.extract.noted import Part
from simnet.extract.watcher import Watcher
from simnet.extract.world import group_of

sys.path.insert(0, str(Path(__file__).parent))
PROGRAMS: Any = import_module("programs")
RANKS = 2


def rank(number: int, out: str, names: list[str]) -> None:
    """Run the programs as this rank."""
    store = dist.FileStore(f"{out}/store", RANKS)
    dist.init_process_group("gloo", store=store, rank=number, world_size=RANKS)
    torch.accelerator.device_count = lambda: RANKS  # a CPU has none, which diffusers divides by
    Path(f"{out}/{number}.json").write_text(json.dumps({name: watched(name) for name in names}))
    dist.destroy_process_group()


def watched(name: str) -> list[Any]:
    """What a program asks for, and its FLOP."""
    module, inputs = getattr(PROGRAMS, name)()
    watcher = Watcher("", group_of)
    with torch.inference_mode(), watcher:
        if isinstance(inputs, Mapping):
            module(**inputs)
        else:
            module(*(inputs if isinstance(inputs, tuple) else (inputs,)))
    watcher.close()
    part = Part(tuple(watcher.noted), (), "")
    asked = [
        (each.kind, each.group.ranks, each.shape, each.dtype, each.nbytes, each.sends, each.takes)
        for each in part.exchanges
    ]
    return [asked, part.flop]


if __name__ == "__main__":
    multiprocessing.spawn(rank, (sys.argv[1], sys.argv[2:]), nprocs=RANKS)
