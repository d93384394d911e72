"""What the compute of a live run happens on: its threads, and the end of its queue."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch


def synchronize() -> None:
    """Wait until a GPU, if there is one in use, has done what it was given."""
    if torch.cuda.is_initialized():
        torch.cuda.synchronize()


@contextmanager
def compute_threads(ranks: int) -> Iterator[None]:
    """Give torch the CPU threads that one of so many ranks on this host has for itself.

    All drivers do so: how a sum is split over threads decides its rounding.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(threads_per_rank(ranks))
    try:
        yield
    finally:
        torch.set_num_threads(before)


def threads_per_rank(ranks: int) -> int:
    """This host's usable cores, shared out."""
    affinity = getattr(os, "sched_getaffinity", None)  # Linux only
    cores = len(affinity(0)) if affinity else os.cpu_count() or 1
    return max(1, cores // ranks)
