"""The header of a trace, from what was asked for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from traces.run import Run

from simnet.schedules.named import spec
from traces.versions import versions

if TYPE_CHECKING:
    from simnet.job import Job
    from simnet.schedules.base import Schedule


def header(schedule: Schedule, job: Job, *, driver: str, device: str, network: str) -> Run:
    """What was run, on what."""
    return Run(
        model=job.model_name,
        schedule=spec(schedule),
        ranks=job.ranks,
        steps=job.steps,
        driver=driver,
        device=device,
        network=network,
        dtype=job.dtype,
        seed=job.seed,
        versions=versions(),
    )
