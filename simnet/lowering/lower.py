"""From a schedule to its operation graph: every rank's program is run once, and nothing takes time.

As a schedule sees no clock, what it does cannot depend on times: one run says all.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from simnet.drivers.engine import collector_paused
from simnet.drivers.simulated import MetaMachine
from simnet.lowering.alone import Alone
from simnet.lowering.graph import Graph, Move, Origin
from simnet.ops import Group
from simnet.schedules.named import spec

if TYPE_CHECKING:
    from simnet.costs import Call
    from simnet.job import Job
    from simnet.schedules.base import Schedule


class Numbering:
    """A cost model that numbers calls: equal ones get one number."""

    name = "numbers"
    transfer_share = 0.0

    def __init__(self) -> None:
        self.calls: dict[Call, int] = {}

    def seconds(self, call: Call) -> float:
        """The call's number."""
        return float(self.calls.setdefault(call, len(self.calls)))


def lower(schedule: Schedule, job: Job) -> Graph:
    """The operation graph of a schedule on a job's model and ranks.

    Raises InputError where the schedule cannot run the job, and ScheduleError for a program that
    goes wrong, and where the ranks' transfers do not match.
    """
    schedule.check(job)
    on_meta = replace(job, device="meta")
    numbering, moves = Numbering(), dict[Move, int]()
    machine = MetaMachine(numbering, job.dtype)
    world = Group(tuple(range(job.ranks)))
    done = []
    with collector_paused():
        for rank in world.ranks:
            alone = Alone(rank, world, machine, moves)
            alone.run(schedule(on_meta, rank), job.steps)
            done.append(alone)
    graph = Graph(
        _origin(schedule, job),
        tuple(numbering.calls),
        tuple(moves),
        np.cumsum([0, *(len(alone.kind) for alone in done)]),
        np.concatenate([np.asarray(alone.kind, np.uint8) for alone in done]),
        np.concatenate([np.asarray(alone.what, np.int32) for alone in done]),
        np.concatenate([np.asarray(alone.steps, np.int32) for alone in done]),
        np.concatenate([np.asarray(alone.layers, np.int32) for alone in done]),
    )
    graph.order(slowed=False)  # finds out whether it ends
    return graph


def _origin(schedule: Schedule, job: Job) -> Origin:
    return Origin(
        model=job.model_name,
        schedule=spec(schedule),
        ranks=job.ranks,
        steps=job.steps,
        dtype=job.dtype,
        seed=job.seed,
        images=job.images,
    )
