"""A rank that torchrun started: on several hosts, or wherever somebody else starts processes."""

from __future__ import annotations

import os
from collections.abc import Collection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch.distributed as dist

from simnet.drivers.distributed import Task, run_rank
from simnet.drivers.launch import join, live_header
from simnet.drivers.observer import Observer
from simnet.drivers.rehearsal import dry_run
from traces.errors import InputError, RunError, ThinwireError
from traces.run import Run
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
    rank, world = variable("RANK"), variable("WORLD_SIZE")
    if world != job.ranks:
        raise InputError(f"torchrun started {world} ranks, but {job.ranks} were asked for")
    schedule.check(job)
    task = Task(schedule, job, path, tuple(keep), dry_run(schedule, job, keep))
    join(job.device, variable("LOCAL_RANK"))
    try:
        _create_everywhere(task, overwrite=overwrite)
        here = variable("LOCAL_WORLD_SIZE")
        run_rank(task, here, observer if rank == 0 and observer else Observer())
    except ThinwireError:
        raise
    except Exception as error:
        raise RunError(f"rank {rank}, before or after its steps: {error}") from error
    dist.destroy_process_group()
    return Trace.open(path) if rank == 0 else None


def _create_everywhere(task: Task, *, overwrite: bool) -> None:
    """Rank 0 makes the folder, then the first rank of each host that does not see the same one."""
    header = task.path / "run.json"
    made: list[Any] = [None, None, None]
    if dist.get_rank() == 0:
        run = live_header(task.schedule, task.job)
        made = [_create(task.path, run, overwrite=overwrite), _fingerprint(header), run]
    dist.broadcast_object_list(made, src=0)
    refused = [made[0]] * dist.get_world_size()
    if made[0] is None:
        here = None
        if variable("LOCAL_RANK") == 0 and _fingerprint(header) != made[1]:
            here = _create(task.path, made[2], overwrite=overwrite)
        dist.all_gather_object(refused, here)
    for rank, error in enumerate(refused):
        if error is not None:
            raise InputError(f"rank {rank}: {error}")


def _create(path: Path, run: Run, *, overwrite: bool) -> str | None:
    """What stands in the way, for all ranks to know; None where it went well."""
    try:
        create(path, run, overwrite=overwrite)
    except InputError as error:
        return str(error)
    return None


def _fingerprint(path: Path) -> tuple[int, int] | None:
    """What tells a file from its like on another host."""
    if not path.exists():
        return None
    status = path.stat()
    return status.st_ino, status.st_mtime_ns


def variable(name: str) -> int:
    """An integer that torchrun gives its processes; raises InputError where it is missing."""
    try:
        return int(os.environ[name])
    except (KeyError, ValueError):
        raise InputError(f"torchrun's variable {name} is missing or no integer") from None
