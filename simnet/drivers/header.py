"""The header of a trace, from what was asked for."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Required, TypedDict, Unpack

from simnet.schedules.named import spec
from traces.run import Run
from traces.versions import versions

if TYPE_CHECKING:
    from simnet.job import Job
    from simnet.schedules.base import Schedule


class Where(TypedDict, total=False):
    """How and on what it runs: fields of Run."""

    driver: Required[str]
    device: Required[str]
    network: Required[str]
    started: str


def header(schedule: Schedule, job: Job, **where: Unpack[Where]) -> Run:
    """What was run, on what."""
    return Run(
        model=job.model_name,
        schedule=spec(schedule),
        ranks=job.ranks,
        steps=job.steps,
        dtype=job.dtype,
        seed=job.seed,
        images=job.images,
        versions=versions(),
        **where,
    )


def now() -> str:
    """For `started`: with microseconds, so that no two recordings have the same."""
    return datetime.now(UTC).isoformat()
