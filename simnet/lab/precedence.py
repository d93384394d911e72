"""Ranks, and the kernel's network work for them, come before everything else on the machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

# Real-time priorities, of which the larger comes first: the kernel's own work before the ranks'.
_RANK, _KERNEL = 1, 2
_KERNEL_THREADS = "ksoftirqd/"


def take_precedence() -> None:
    """Let this process come before all ordinary ones, which would delay it by whole time slices.

    Where the system refuses that, nothing changes.
    """
    with suppress(PermissionError):
        os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(_RANK))


@contextmanager
def prompt_kernel() -> Iterator[None]:
    """While the block lasts, packets do not wait behind processes; afterwards it is as it was.

    What the kernel cannot do at once it leaves to threads of ordinary priority. Behind busy ranks,
    or on a busy machine, they wait for a core as long as anybody.
    """
    before = {}
    for thread in kernel_threads():
        with suppress(PermissionError, ProcessLookupError):
            before[thread] = os.sched_getscheduler(thread), os.sched_getparam(thread)
            os.sched_setscheduler(thread, os.SCHED_RR, os.sched_param(_KERNEL))
    try:
        yield
    finally:
        for thread, (policy, parameter) in before.items():
            with suppress(PermissionError, ProcessLookupError):
                os.sched_setscheduler(thread, policy, parameter)


def kernel_threads() -> list[int]:
    """Those that do the kernel's network work, one for each core; none where they do not show."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            if (folder / "comm").read_text().startswith(_KERNEL_THREADS):
                found.append(int(folder.name))
    return sorted(found)
