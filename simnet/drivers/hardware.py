"""What the compute of a live run happens on: the device's name, threads, the end of its queue."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

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


def describe_device(device: str) -> str:
    """A name for tables: of the GPU, or of the processor."""
    if device.startswith("cuda"):
        name: str = torch.cuda.get_device_name(device)
        return name
    return _processor()


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = (line.partition(":")[2].strip() for line in lines if line.startswith("model name"))
    return next(names, platform.machine())
