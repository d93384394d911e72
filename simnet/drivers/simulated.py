"""All ranks on meta tensors: shapes from the code that runs, time from a cost model and a network."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from simnet.costs import Call, CostModel
from simnet.counting import count
from simnet.drivers.engine import Observer, Work, play
from simnet.network.links import Links
from simnet.ops import Compute
from simnet.shapes import describe_shape
from traces.errors import ScheduleError
from traces.operation import table
from traces.trace import Run, Trace
from traces.versions import versions

if TYPE_CHECKING:
    from simnet.job import Job
    from simnet.network.network import Network
    from simnet.schedules.base import Schedule


def simulate(
    schedule: Schedule, job: Job, cost: CostModel, network: Network, progress: Observer | None = None
) -> Trace:
    """Predict a run: every rank's operations, with the times they would take.

    Raises InputError where the schedule cannot run the job, ScheduleError where its ranks do not
    fit together.
    """
    schedule.check(job)
    on_meta = replace(job, device="meta")
    programs = [schedule(on_meta, rank) for rank in range(job.ranks)]
    operations, _ = play(programs, MetaMachine(cost), network, progress or Observer())
    run = Run(
        model=job.model_name,
        schedule=schedule.spec,
        ranks=job.ranks,
        steps=job.steps,
        driver="simulated",
        device=cost.name,
        network=network.name,
        dtype=job.dtype,
        seed=job.seed,
        versions=versions(),
    )
    return Trace(run, table(operations))


def dry_run(schedule: Schedule, job: Job) -> None:
    """Raise what is wrong with a schedule before any process is started for it."""
    simulate(schedule, job, _free, Links("infinite", float("inf")))
