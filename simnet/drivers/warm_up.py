"""What runs before a live run and is not recorded."""

from __future__ import annotations

from typing import TYPE_CHECKING

from traces.errors import InputError

if TYPE_CHECKING:
    from simnet.job import Job
    from simnet.schedules.base import Schedule


def warm_up(schedule: Schedule, job: Job) -> Job:
    """What to run first and not record, so that buffers, connections and threads come into being.

    One step, or the whole job for a schedule that needs more than one.
    """
    short = job.one_step()
    try:
        schedule.check(short)
    except InputError:
        return job
    return short
