"""Ranks that take themselves to be on different hosts, with clocks minutes apart."""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from pathlib import Path
from typing import Any

import torch.distributed as dist

from simnet.drivers import offsets

RANKS = 3


def be_rank(rank: int, meeting: Path, told: Any) -> None:
    """Report when the run began, by the one clock that there really is."""
    os.environ["GLOO_SOCKET_IFNAME"] = "lo"
    ahead_s = 100.0 * rank
    offsets._host = lambda: f"host {rank}"
    offsets.perf_counter = lambda: time.perf_counter() + ahead_s  # type: ignore[attr-defined]
    dist.init_process_group("gloo", init_method=f"file://{meeting}", rank=rank, world_size=RANKS)
    since_s = offsets.common_time()
    told.put(time.perf_counter() - since_s)
    dist.destroy_process_group()


if __name__ == "__main__":
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    meeting_point = Path(sys.argv[1]) / "meeting"
    ranks = [context.Process(target=be_rank, args=(r, meeting_point, queue)) for r in range(RANKS)]
    for process in ranks:
        process.start()
    for _ in ranks:
        print(queue.get(timeout=60))
    for process in ranks:
        process.join()
