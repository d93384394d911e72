"""A schedule on meta tensors that cost nothing, before it runs for real: will it end?"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

from simnet.costs import Free
from simnet.drivers.engine import collector_paused, play
from simnet.drivers.observer import Observer
from simnet.drivers.simulated import MetaMachine
from simnet.network.presets import NETWORKS
from simnet.ops import Group
from traces.errors import ThinwireError, unknown
from traces.operation import Operation

if TYPE_CHECKING:
    from simnet.job import Job
    from simnet.schedules.base import Schedule


class Rehearsal(NamedTuple):
    """What a dry run has found out."""

    groups: list[Group]  # whose ranks talk to each other, for live runs to set up
    one_step_will_do: bool  # for a warm-up that nobody records

    def warm_up(self, job: Job) -> Job:
        """What to run first, so that buffers, connections and threads come into being."""
        return job.one_step() if self.one_step_will_do else job


def dry_run(schedule: Schedule, job: Job, keep: Collection[str] = ()) -> Rehearsal:
    """Raise what is wrong with a schedule, or with what to keep of it."""
    seen = _rehearse(schedule, job)
    for name in keep:
        if name not in seen.kept:
            raise unknown("activation to keep", name, seen.kept)
    try:
        warm_up = _rehearse(schedule, replace(job, steps=1))
    except ThinwireError:  # it needs more than a step
        return Rehearsal(sorted(seen.groups), one_step_will_do=False)
    return Rehearsal(sorted(seen.groups | warm_up.groups), one_step_will_do=True)


def _rehearse(schedule: Schedule, job: Job) -> _Seen:
    schedule.check(job)
    seen = _Seen()
    on_meta = replace(job, device="meta")
    programs = [schedule(on_meta, rank) for rank in range(job.ranks)]
    with collector_paused():
        play(programs, job.steps, MetaMachine(Free(), job.dtype), NETWORKS["infinite"], seen)
    return seen


class _Seen(Observer):
    """Learns which activations a schedule offers, and who talks to whom."""

    def __init__(self) -> None:
        self.kept: set[str] = set()
        self.groups: set[Group] = set()

    def keep(self, rank: int, step: int, layer: int, name: str, value: Any) -> None:
        """See Observer."""
        del rank, step, layer, value
        self.kept.add(name)

    def step_done(self, rank: int, step: int, operations: Sequence[Operation]) -> None:
        """See Observer."""
        del rank, step
        for ranks, name in {(op.group, op.stream) for op in operations if op.group}:
            self.groups.add(Group(tuple(map(int, ranks.split(","))), name))
