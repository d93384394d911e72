"""Which calls a run would make: found by a dry run, each distinct one once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import NamedTuple

from simnet.costs import Free
from simnet.drivers.engine import Work, collector_paused, play
from simnet.drivers.observer import Observer
from simnet.drivers.simulated import MetaMachine, kind_of
from simnet.job import Job
from simnet.network.presets import NETWORKS
from simnet.ops import Compute
from simnet.schedules.base import TeamSchedule
from simnet.schedules.expert.base import ExpertSchedule
from simnet.schedules.named import innermost
from traces.errors import InputError


class Wanted(NamedTuple):
    """A call as a cost model goes by it, and one such call on meta tensors."""

    name: str
    shape: str
    kind: str
    op: Compute

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells it from others."""
        return self.name, self.shape, self.kind

    def __str__(self) -> str:
        return f"{self.name}({self.shape})"


def calls(schedules: Iterable[TeamSchedule], job: Job) -> Iterator[Wanted]:
    """Those of one rank or another, for each schedule in turn, and within it as they come.

    Those of one kind of block stand together in the end when sorted by `Wanted.kind`. Raises
    InputError for a job that a schedule cannot run, and for schedules whose calls depend on what
    the tokens hold.
    """
    seen: set[tuple[str, str, str]] = set()
    on_meta = replace(job, device="meta").with_model()
    for schedule in schedules:
        if isinstance(innermost(schedule), ExpertSchedule):
            raise InputError(
                f"{schedule.name}: how many rows an expert gets depends on what the tokens hold, "
                "so its calls cannot be known beforehand; record a run, and profile its trace"
            )
        for wanted in _calls(schedule, on_meta):
            if wanted.key not in seen:
                seen.add(wanted.key)
                yield wanted


def _calls(schedule: TeamSchedule, job: Job) -> list[Wanted]:
    schedule.check(job)
    machine = _Noting(Free(), job.dtype)
    programs = [schedule(job, rank) for rank in range(job.ranks)]
    with collector_paused():
        play(programs, job.steps, machine, NETWORKS["infinite"], Observer())
    return machine.wanted


class _Noting(MetaMachine):
    """Keeps an example of each call that it has not seen before."""

    def __init__(self, cost: Free, dtype: str) -> None:
        super().__init__(cost, dtype)
        self.wanted: list[Wanted] = []

    def _work(self, op: Compute, shape: str) -> Work:
        work = super()._work(op, shape)
        self.wanted.append(Wanted(work.name, shape, kind_of(op.fn), op))
        return work
