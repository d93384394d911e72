"""Starts a process for each rank on this machine, and says which one failed if one does."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Collection, Sequence
from contextlib import suppress
from datetime import timedelta
from multiprocessing.connection import Connection, wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, NoReturn

import torch
import torch.distributed as dist

from simnet.drivers.distributed import Task, run_rank
from simnet.drivers.header import header, now
from simnet.drivers.observer import Observer
from simnet.drivers.rehearsal import dry_run
from traces.device import describe_device
from traces.errors import RunError, ThinwireError
from traces.operation import Operation
from traces.run import Run
from traces.store import create
from traces.trace import Trace

if TYPE_CHECKING:
    from simnet.job import Job
    from simnet.schedules.base import Schedule

# A lost peer is noticed at once; this is for one that hangs. Schedules that cannot end are found
# by the dry run before.
_TIMEOUT = timedelta(minutes=10)
# When one rank fails the others soon do; so long is waited for each, to see which was first.
_GRACE_S = 0.5
# To end when asked to.
_END_S = 5.0
#: Exit code of a rank that failed and could say why.
FAILED = 3


def run_distributed(
    schedule: Schedule,
    job: Job,
    path: Path,
    *,
    keep: Collection[str] = (),
    observer: Observer | None = None,
    overwrite: bool = False,
) -> Trace:
    """Run every rank as a process on this machine and record them at `path`.

    `observer` is told of rank 0's steps. Raises InputError and ScheduleError before anything is
    started, RunError where a rank fails; what was recorded until then stays at `path`. Scripts
    that call this need the usual `if __name__ == "__main__":`, for every rank imports them.
    """
    schedule.check(job)
    task = Task(schedule, job, path, tuple(keep), dry_run(schedule, job, keep))
    create(path, live_header(schedule, job), overwrite=overwrite)
    store = dist.TCPStore("127.0.0.1", 0, is_master=True, wait_for_workers=False)
    crew = Crew()
    try:
        for rank in range(job.ranks):
            crew.members.append(_start(rank, task, store.port))
        crew.watch(observer or Observer())
    finally:
        crew.stop()
    return Trace.open(path)


def live_header(schedule: Schedule, job: Job) -> Run:
    """The header of a run over torch.distributed."""
    return header(
        schedule,
        job,
        driver="distributed",
        device=describe_device(job.device),
        network="NCCL" if job.device.startswith("cuda") else "gloo",
        started=now(),
    )


class Member(NamedTuple):
    """A rank's process, and the end of the pipe on which it reports."""

    rank: int
    process: BaseProcess
    reports: Connection


class Crew:
    """The processes of a run."""

    def __init__(self) -> None:
        self.members: list[Member] = []

    def watch(self, observer: Observer) -> None:
        """Until all have ended well; raises RunError with what the first one to fail said."""
        working = {member.reports: member for member in self.members}
        while working:
            for pipe in wait(list(working)):
                member = working[pipe]  # type: ignore[index]
                try:
                    report = member.reports.recv()
                except EOFError:
                    del working[member.reports]
                    self._ended(member)
                    continue
                if isinstance(report, ThinwireError):
                    self._blame(report)
                observer.step_done(member.rank, *report)

    def stop(self) -> None:
        """Leave no process behind."""
        for member in self.members:
            if member.process.is_alive():
                member.process.terminate()
        for member in self.members:
            member.process.join(timeout=_END_S)
            if member.process.is_alive():  # it is stuck in a library or stopped
                member.process.kill()
                member.process.join()
            member.reports.close()

    def _blame(self, error: ThinwireError) -> NoReturn:
        """Raise the cause: a rank that died, rather than a peer that missed it."""
        for member in self.members:
            member.process.join(timeout=_GRACE_S)
            if (member.process.exitcode or 0) < 0:
                self._ended(member)
        raise error

    def _ended(self, member: Member) -> None:
        member.process.join()
        code = member.process.exitcode
        if code:
            how = f"was killed by signal {-code}" if code < 0 else f"ended with exit code {code}"
            raise RunError(
                f"rank {member.rank} {how}; the steps that were recorded until then can be read, "
                "and those that all ranks have can be replayed (--partial)"
            )


def _start(rank: int, task: Task, port: int) -> Member:
    context = multiprocessing.get_context("spawn")
    reports, pipe = context.Pipe(duplex=False)
    process = context.Process(
        target=_rank_main, args=(rank, task, port, pipe), name=f"rank {rank}", daemon=True
    )
    process.start()
    pipe.close()  # the other end is the child's alone, so that its death is seen here
    return Member(rank, process, reports)


class Reporter(Observer):
    """Tells the launching process of the steps of rank 0."""

    def __init__(self, pipe: Connection) -> None:
        self.pipe = pipe

    def step_done(self, rank: int, step: int, operations: Sequence[Operation]) -> None:
        """See Observer."""
        del operations  # they are on disk
        if rank == 0:
            self.pipe.send((step, ()))


def _rank_main(rank: int, task: Task, port: int, pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the launching process's to handle
    threading.Thread(target=_end_with_parent, daemon=True).start()
    # The loopback device: the host's name may resolve to something unreachable.
    os.environ.setdefault("GLOO_SOCKET_IFNAME", "lo" if sys.platform == "linux" else "lo0")
    try:
        store = dist.TCPStore("127.0.0.1", port, is_master=False)
        join(task.job.device, local_rank=rank, store=store, rank=rank, world_size=task.job.ranks)
        run_rank(task, task.job.ranks, Reporter(pipe))
        dist.destroy_process_group()
    # A rank that lost a peer also fails; the launching process finds out which was first.
    except Exception as error:  # noqa: BLE001 - told to the launching process
        with suppress(BrokenPipeError):
            pipe.send(error if isinstance(error, ThinwireError) else _unplaced(rank, error))
        # At once: an interpreter that takes itself apart beside gloo's threads may abort, and that
        # would be taken for the cause.
        sys.stderr.flush()
        os._exit(FAILED)


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        wait([parent.sentinel])
        os._exit(FAILED)


def _unplaced(rank: int, error: Exception) -> RunError:
    return RunError(f"rank {rank}, before or after its steps: {type(error).__name__}: {error}")


def join(device: str, local_rank: int, **where: object) -> None:
    """Join the other ranks: NCCL for GPU tensors where asked for, gloo for everything else."""
    backend = "gloo"
    if device.startswith("cuda"):
        torch.cuda.set_device(local_rank)
        backend = "cpu:gloo,cuda:nccl"
    dist.init_process_group(backend, timeout=_TIMEOUT, **where)  # type: ignore[arg-type]
