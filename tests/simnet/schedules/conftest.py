"""Denoising in one process: by a schedule's ranks in turn, and by references that know of none."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any, Protocol

import pytest
import torch
from torch import Tensor

from simnet.drivers.engine import play
from simnet.drivers.hardware import compute_threads
from simnet.drivers.local import programs, timed
from simnet.drivers.observer import Observer
from simnet.job import Job
from simnet.network.presets import NETWORKS
from simnet.schedules.base import Schedule

#: What a part of the sequence attends to, of all parts' keys and values: (layer, step, part, kvs).
Look = Callable[[int, int, int, list[Tensor]], list[Tensor]]


class Attend(Protocol):
    """Attention of one block for a part's queries: (out, log-sum-exp)."""

    def __call__(self, block: Any, q: Any, *patches: Tensor) -> tuple[Tensor, Tensor]:
        """Patches are in the order in which they are seen."""
        ...


@cache
def _whole(model: str) -> Job:
    return Job(model).with_model()


def _job(model: str, ranks: int, steps: int) -> Job:
    return _whole(model).variant(ranks=ranks, steps=steps)


@pytest.fixture(scope="session")
def job() -> Callable[[str, int, int], Job]:
    """A job by model, ranks and steps; each model is made once."""
    return _job


def _denoise(schedule: Schedule, job: Job) -> Tensor:
    """All ranks' parts of the latent in their order, (1, T, C); of several images one by one."""
    schedule.check(job)
    with torch.inference_mode(), compute_threads(job.ranks):
        _, parts = play(programs(schedule, job), job.steps, timed, NETWORKS["infinite"], Observer())
    return torch.cat(parts, dim=1)


@pytest.fixture(scope="session")
def denoise() -> Callable[[Schedule, Job], Tensor]:
    """Run a schedule's ranks in turn; gives the latent."""
    return _denoise


@cache
def _single_device(job: Job) -> Tensor:
    """The whole model on the whole latent."""
    x = job.latent
    with torch.inference_mode(), compute_threads(job.ranks):
        for step in range(job.steps):
            x = job.advance(x, job.model(x, job.time(step), job.label))
    return x


@pytest.fixture(scope="session")
def single_device() -> Callable[[Job], Tensor]:
    """Denoise on one device."""
    return _single_device


def _at_once(block: Any, q: Any, *patches: Tensor) -> tuple[Tensor, Tensor]:
    attended: tuple[Tensor, Tensor] = block.attend_patches(q, *patches)
    return attended


def _in_parts(job: Job, look: Look, attend: Attend = _at_once) -> Tensor:
    """Parts of the sequence, layer by layer together; `look` says what each attends to."""
    model, everyone = job.model, range(job.ranks)
    parts = [job.part(number, job.ranks) for number in everyone]
    xs, places = [x for x, *_ in parts], [place for _, *place in parts]
    with torch.inference_mode(), compute_threads(job.ranks):
        for step in range(job.steps):
            c = model.condition(job.time(step), job.label)
            hs = [model.embed(c, x, *place) for x, place in zip(xs, places, strict=True)]
            for block in model.blocks:
                projected = [block.project(h, c) for h in hs]
                kvs = [kv for _, kv, _ in projected]
                for part, (q, _, carry) in enumerate(projected):
                    out, _ = attend(block, q, *look(block.layer, step, part, kvs))
                    hs[part] = block.finish(hs[part], carry, out)
            xs = [job.advance(x, model.head(h, c)) for x, h in zip(xs, hs, strict=True)]
    return torch.cat(xs, dim=1)


@pytest.fixture(scope="session")
def in_parts() -> Callable[..., Tensor]:
    """Denoise parts of the sequence together, given what each attends to."""
    return _in_parts
