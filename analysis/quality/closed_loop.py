"""Pictures as a schedule makes them: all ranks in turn in this process, each error lived with."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from simnet.denormals import without_denormals
from simnet.drivers.engine import Work, play
from simnet.drivers.local import programs
from simnet.drivers.observer import Observer
from simnet.job import Job
from simnet.models.pixels import images_of
from simnet.network.presets import NETWORKS
from simnet.ops import Compute
from simnet.schedules.base import TeamSchedule
from simnet.training.fashion import SIDE_PX
from traces.errors import ScheduleError


class Batch(NamedTuple):
    """What the ranks have made together in one go."""

    latents: Tensor  # (n, T, C)
    wire_bytes: int  # that all ranks put on the wire for it


class Made(NamedTuple):
    """Pictures, in order."""

    pictures: Tensor  # (N, 28, 28), uint8
    broken: int  # of them, that hold a number which is not finite
    wire_bytes: float  # for one of them


def batch_count(schedule: TeamSchedule, job: Job, images: int) -> int:
    """How many batches make so many images, or some more."""
    return -(-images // len(schedule.numbers(job)))


def batches(schedule: TeamSchedule, job: Job, images: int) -> Iterator[Batch]:
    """Images 0 to `images` - 1 and what fills the last batch; `job` is any of those batches.

    Raises ScheduleError for a schedule that makes other images than it says.
    """
    schedule.check(job)
    job = job.with_model()
    for number in range(batch_count(schedule, job, images)):
        with torch.inference_mode(), without_denormals():
            made = _batch(schedule, job.variant(number=number))
        yield made


def gather(made: Iterable[Batch], job: Job, images: int) -> Made:
    """The first so many pictures of these batches."""
    parts = list(made)
    latents = torch.cat([part.latents for part in parts])
    each = sum(part.wire_bytes for part in parts) / len(latents)
    latents = latents[:images]
    broken = int((~latents.isfinite()).flatten(1).any(dim=1).sum())
    pictures = images_of(latents.nan_to_num(), job.preset, (SIDE_PX, SIDE_PX))
    return Made(pictures, broken, each)


def _batch(schedule: TeamSchedule, job: Job) -> Batch:
    operations, parts = play(
        programs(schedule, job), job.steps, _at_once, NETWORKS["infinite"], Observer()
    )
    latents, expected = schedule.gathered(parts), len(schedule.numbers(job))
    if latents.shape != (expected, job.preset.tokens, job.preset.channels):
        raise ScheduleError(
            f"{schedule.name} made latents {tuple(latents.shape)} of {expected} images; each has "
            f"{job.preset.tokens} tokens of {job.preset.channels}"
        )
    return Batch(latents, sum(operation.wire_bytes for operation in operations))


def _at_once(op: Compute) -> Work:
    """Do it on real tensors; nobody asks how long it takes."""
    return Work(op.fn(*op.args), op.fn.__name__, "", 0.0)
