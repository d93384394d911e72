"""All ranks in this process, in turn on one device: real tensors, measured compute, no network.

Each Compute runs by itself and its time is measured; transfers hand tensors over and take the
time that the given network says, by default none.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING

import torch

from simnet.drivers.engine import Work, play
from simnet.drivers.hardware import compute_threads, synchronize
from simnet.drivers.header import header, now
from simnet.drivers.observer import Observer, Observers
from simnet.drivers.recorder import Recorder
from simnet.drivers.rehearsal import dry_run
from simnet.network.presets import NETWORKS
from simnet.shapes import describe_shape
from traces.device import describe_device
from traces.store import create
from traces.trace import Trace

if TYPE_CHECKING:
    from simnet.job import Job
    from simnet.network.network import Network
    from simnet.ops import Compute, Program
    from simnet.schedules.base import Schedule


def run_local(
    schedule: Schedule,
    job: Job,
    path: Path,
    *,
    keep: Collection[str] = (),
    network: Network = NETWORKS["infinite"],
    observer: Observer | None = None,
    overwrite: bool = False,
) -> Trace:
    """Run all ranks here and record them at `path`, with the activations named in `keep`.

    Raises InputError for a job or path that will not do, ScheduleError where the ranks do not fit
    together.
    """
    schedule.check(job)
    run = header(
        schedule,
        job,
        driver="local",
        device=describe_device(job.device),
        network=network.name,
        started=now(),
    )
    rehearsal = dry_run(schedule, job, keep)
    create(path, run, overwrite=overwrite)
    recorder = Recorder(path, range(job.ranks), keep)
    told = Observers(recorder, observer or Observer())
    with torch.inference_mode(), compute_threads(job.ranks):
        short = rehearsal.warm_up(job)
        play(programs(schedule, short), short.steps, timed, network, Observer())
        play(programs(schedule, job), job.steps, timed, network, told)
    recorder.close()
    return Trace.open(path)


def programs(schedule: Schedule, job: Job) -> list[Program]:
    """Every rank's generator."""
    return [schedule(job, rank) for rank in range(job.ranks)]


def timed(op: Compute) -> Work:
    """Do it on real tensors and measure how long it takes."""
    synchronize()
    start_s = perf_counter()
    value = op.fn(*op.args)
    synchronize()
    cost_s = perf_counter() - start_s
    return Work(value, op.fn.__name__, describe_shape(op.args), cost_s)
