"""A rank that torchrun started: on several hosts, or wherever somebody else starts processes."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING

import torch.distributed as dist

from simnet.drivers.distributed import run_rank
from simnet.drivers.launch import join, live_header
from simnet.drivers.observer import Observer
from simnet.drivers.simulated import dry_run
from traces.errors import InputError
from traces.store import create
from traces.trace import Trace

if TYPE_CHECKING:
    from simnet.job import Job
    from simnet.schedules.base import Schedule


def started_by_torchrun() -> bool:
    """Whether this process is one of torchrun's."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def run_under_torchrun(
    schedule: Schedule,
    job: Job,
    path: Path,
    *,
    keep: Collection[str] = (),
    observer: Observer | None = None,
    overwrite: bool = False,
) -> Trace | None:
    """Be one rank; gives the trace on rank 0, as far as its host has it, and None elsewhere.

    Each host writes the parts of its own ranks under `path`; on a file system that they share
    they come together by themselves. Raises as run_distributed does.
    """
    rank, world = _variable("RANK"), _variable("WORLD_SIZE")
    if world != job.ranks:
        raise InputError(f"torchrun started {world} ranks, but {job.ranks} were asked for")
    schedule.check(job)
    if rank == 0:
        dry_run(schedule, job, keep)
    join(job.device, _variable("LOCAL_RANK"))
    _create_everywhere(schedule, job, path, overwrite=overwrite)
    run_rank(
        schedule,
        job,
        path,
        ranks_here=_variable("LOCAL_WORLD_SIZE"),
        keep=keep,
        observer=observer if rank == 0 else None,
    )
    dist.destroy_process_group()
    return Trace.open(path) if rank == 0 else None


def _create_everywhere(schedule: Schedule, job: Job, path: Path, *, overwrite: bool) -> None:
    """Rank 0 makes the folder, then the first rank of each host that does not see it."""
    run = live_header(schedule, job)
    if dist.get_rank() == 0:
        create(path, run, overwrite=overwrite)
    dist.barrier()
    if _variable("LOCAL_RANK") == 0 and not (path / "run.json").exists():
        create(path, run, overwrite=overwrite)
    dist.barrier()


def _variable(name: str) -> int:
    try:
        return int(os.environ[name])
    except (KeyError, ValueError):
        raise InputError(f"torchrun's variable {name} is missing or no integer") from None
