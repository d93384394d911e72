"""What the ranks of a team are told: a run, in plain values that go through a pipe."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from simnet.drivers.distributed import Task
from simnet.drivers.launch import live_header
from simnet.drivers.rehearsal import Rehearsal, dry_run
from simnet.job import Job
from simnet.ops import Group
from simnet.schedules.named import schedule as named
from traces.store import create

if TYPE_CHECKING:
    from collections.abc import Collection

#: What a team is told: to run something, to have one rank run all of it by itself, to measure its
#: network.
RUN, ALONE, MEASURE = "run", "alone", "measure"


@dataclass(frozen=True, slots=True)
class Workload:
    """A schedule by name, with its codec if it has one, and what its ranks denoise."""

    schedule: str
    model: str
    ranks: int
    steps: int

    def job(self) -> Job:
        """On this machine's processor, in float32."""
        return Job(self.model, self.ranks, self.steps)


def alone_order(workload: Workload, path: Path) -> dict[str, Any]:
    """Say that one rank is to record there what each compute takes while no other is done."""
    return {ALONE: {**asdict(workload), "path": str(path.absolute())}}


def run_order(
    workload: Workload, path: Path, *, keep: Collection[str] = (), profile: Path | None = None
) -> dict[str, Any]:
    """Make the trace's folder, and say what every rank is to do.

    `profile` has how long computes are to take; without one they take what they take. Raises
    InputError and ScheduleError for a schedule that cannot run.
    """
    schedule, job = named(workload.schedule), workload.job()
    schedule.check(job)
    rehearsal = dry_run(schedule, job, keep)
    create(path, live_header(schedule, job), overwrite=True)
    told = {
        **asdict(workload),
        "path": str(path.absolute()),
        "keep": list(keep),
        "groups": [[list(group.ranks), group.name] for group in rehearsal.groups],
        "one_step_will_do": rehearsal.one_step_will_do,
        "profile": None if profile is None else str(profile.absolute()),
    }
    return {RUN: told}


def workload_of(told: Mapping[str, Any]) -> Workload:
    """What an order is about."""
    return Workload(told["schedule"], told["model"], told["ranks"], told["steps"])


def task(told: Mapping[str, Any]) -> Task:
    """The same, for a rank to carry out."""
    workload = workload_of(told)
    groups = [Group(tuple(ranks), name) for ranks, name in told["groups"]]
    rehearsal = Rehearsal(groups, one_step_will_do=told["one_step_will_do"])
    job = _with_model(workload.model).variant(ranks=workload.ranks, steps=workload.steps)
    return Task(named(workload.schedule), job, Path(told["path"]), tuple(told["keep"]), rehearsal)


@cache
def _with_model(name: str) -> Job:
    """For all runs of a process."""
    return Job(name).with_model()
