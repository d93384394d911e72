"""Each rank a process: real tensors, real bytes, torch.distributed between them."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
import torch.distributed as dist

from simnet.drivers.agreement import check_agreement
from simnet.drivers.clock import Clock, clock_for
from simnet.drivers.communicator import Communicators, Ticket
from simnet.drivers.hardware import compute_threads
from simnet.drivers.log import Log, describe
from simnet.drivers.matches import check_peers
from simnet.drivers.observer import Observer, Observers
from simnet.drivers.offsets import common_time
from simnet.drivers.recorder import Recorder
from simnet.drivers.rehearsal import Rehearsal
from simnet.ops import TRANSFERS, At, Compute, Keep, Op, Program, Transfer, Wait
from simnet.shapes import describe_shape
from traces.errors import RunError, ScheduleError, ThinwireError

if TYPE_CHECKING:
    from simnet.job import Job
    from simnet.schedules.base import Schedule


class Task(NamedTuple):
    """What every rank is told."""

    schedule: Schedule
    job: Job
    path: Path
    keep: tuple[str, ...]
    rehearsal: Rehearsal


#: Carries out a compute whose arguments have this shape; gives its value.
Processor = Callable[[Compute, str], Any]


def at_once(op: Compute, shape: str) -> Any:
    """As fast as the device can."""
    del shape
    return op.fn(*op.args)


def run_rank(task: Task, ranks_here: int, observer: Observer) -> None:
    """Run this process's rank and record its part of the trace.

    torch.distributed is initialised, and the trace's folder made. `ranks_here` share this host's
    cores. Raises RunError where a peer is lost or something fails, naming the rank, operation,
    step and layer that noticed, and ScheduleError where ranks sent other sizes than were taken.
    """
    with torch.inference_mode(), compute_threads(ranks_here):
        communicators = Communicators(task.rehearsal.groups)
        warm_up(task, communicators)
        record(task, communicators, observer)
    check_agreement(communicators.told())
    dist.barrier()


def warm_up(task: Task, communicators: Communicators) -> None:
    """Run a little that nobody records, so that buffers, connections and threads are there."""
    short = task.rehearsal.warm_up(task.job)
    rank = dist.get_rank()
    log = Log(rank, short.steps, Observer())
    LiveRank(log, clock_for(short.device), communicators).run(task.schedule(short, rank))


def record(
    task: Task,
    communicators: Communicators,
    observer: Observer,
    processor: Processor = at_once,
) -> None:
    """Run the job, from a moment that all ranks share, and record it."""
    rank, job = dist.get_rank(), task.job
    recorder = Recorder(task.path, [rank], task.keep)
    log = Log(rank, job.steps, Observers(recorder, observer))
    clock = clock_for(job.device)
    clock.begin(common_time())
    LiveRank(log, clock, communicators, processor).run(task.schedule(job, rank))
    dist.barrier()  # writing takes cores, which others may still compute on
    recorder.close()


class LiveRank:
    """Carries out one rank's operations as they come."""

    def __init__(
        self,
        log: Log,
        clock: Clock,
        communicators: Communicators,
        processor: Processor = at_once,
    ) -> None:
        self.log = log
        self.clock = clock
        self.communicators = communicators
        self.processor = processor
        self.cursor_s = 0.0  # end of the last thing the host is known to have done
        self.handlers: dict[type[Op], Callable[[Any], Any]] = {
            At: self._at,
            Compute: self._compute,
            Keep: log.keep,
            Wait: self._wait,
            **dict.fromkeys(TRANSFERS, self._transfer),
        }

    def run(self, program: Program) -> Any:
        """Run to the end; gives the rank's output."""
        value = None
        while True:
            try:
                op = program.send(value)
            except StopIteration as stop:
                self.clock.drain()
                self._settle()
                self.log.finish()
                return stop.value
            except ThinwireError:
                raise
            except Exception as error:
                raise RunError(f"{self.log}: the schedule itself failed: {error!r}") from error
            handler = self.handlers.get(type(op))
            if handler is None:
                raise ScheduleError(f"{self.log}: the schedule yields {op!r}, not an operation")
            value = self._carry_out(handler, op)

    def _carry_out(self, handler: Callable[[Any], Any], op: Op) -> Any:
        try:
            return handler(op)
        except ThinwireError:
            raise
        except Exception as error:
            raise RunError(f"{self.log}: {describe(op)} failed: {error}") from error

    def _at(self, op: At) -> None:
        if op.step != self.log.step:
            self._settle()
        self.log.at(op)

    def _compute(self, op: Compute) -> Any:
        row = self.log.row("compute", "compute", op.fn.__name__, math.nan)
        row.shape = describe_shape(op.args)
        self.clock.stamp(row, "start_s")
        value = self.processor(op, row.shape)
        self.clock.stamp(row, "end_s")
        return value

    def _wait(self, op: Wait) -> Any:
        ticket = op.ticket
        if not isinstance(ticket, Ticket):
            raise ScheduleError(f"{self.log}: waits for {ticket!r}, which is no ticket")
        row = self.log.row("compute", "wait", ticket.op.name, math.nan)
        row.waits_for = ticket.seq
        self.clock.stamp(row, "start_s")
        self.clock.wait(ticket)
        self.clock.stamp(row, "end_s")
        return ticket.value

    def _transfer(self, op: Transfer) -> Ticket:
        group = op.group or self.communicators.world
        check_peers(op, self.log.rank, group)
        row = self.log.transfer(op, group, math.nan)
        self.clock.stamp(row, "start_s")
        ticket = self.communicators.post(op, row)
        self.clock.watch(ticket)
        return ticket

    def _settle(self) -> None:
        """Give the step's rows their times, and the gaps between them."""
        self.clock.settle()
        for row in self.log.unreported():
            blocks = row.stream == "compute"
            row.host_s = max(0.0, row.start_s - self.cursor_s)
            self.cursor_s = row.end_s if blocks else row.start_s
            if row.kind == "compute":
                row.cost_s = row.end_s - row.start_s
