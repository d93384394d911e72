"""What a plan is for: a model and images, so many GPUs of a kind, and the network between them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from simnet.costs import Roofline
from simnet.devices import Device
from simnet.drivers.simulated import simulate
from simnet.job import Job
from simnet.models.shape import Preset
from simnet.network.presets import NETWORKS
from simnet.network.topology import Topology
from simnet.schedules.base import TeamSchedule
from simnet.schedules.named import on_gpu
from simnet.schedules.single import Single
from traces.errors import InputError
from traces.summary import summarize


@dataclass(frozen=True)
class Setting:
    """All that plans are compared for.

    `images` are made together by all ranks, whatever the schedule, so that latencies compare.
    """

    model: str
    ranks: int
    steps: int
    images: int
    dtype: str
    device: Device
    network: Topology

    def __post_init__(self) -> None:
        if self.images < 1:
            raise InputError(f"--batch is {self.images}, expected 1 image or more")
        if self.network.conditions is not None:
            raise InputError(
                f"network {self.network.name!r} has conditions (jitter, stragglers or the like); "
                "plans are compared on a network as it should be: leave them out"
            )
        if self.ranks > 1:
            self.network.path(0, self.ranks - 1)  # which must have a place

    @cached_property
    def job(self) -> Job:
        """All images on all ranks; its model is made once, without data."""
        job = Job(self.model, self.ranks, self.steps, self.dtype, device="meta", images=self.images)
        return job.with_model()

    @property
    def preset(self) -> Preset:
        """The model's shape."""
        return self.job.preset

    @property
    def cost(self) -> Roofline:
        """Of the GPU."""
        return Roofline(self.device)

    @property
    def outside_s(self) -> float:
        """Before and after the steps: text encoder, decoder."""
        return self.cost.outside_s(self.preset)

    @cached_property
    def step_flop(self) -> float:
        """Arithmetic of one step of one image on one device, in matrix products."""
        one = replace(self, ranks=1, images=1).job.variant(steps=1)
        return summarize(simulate(Single(), one, _Flop(), NETWORKS["infinite"])).total_s

    def as_run(self, schedule: TeamSchedule) -> TeamSchedule:
        """The schedule as this device runs it."""
        return on_gpu(schedule) if self.device.is_gpu else schedule

    def job_of(self, schedule: TeamSchedule) -> Job:
        """The job in which all ranks together make the images.

        Raises InputError where the images do not split over the schedule's teams.
        """
        teams = makes(schedule, self.ranks)
        if self.images % teams:
            raise InputError(
                f"{schedule.name}: a batch of {self.images} does not split over {teams} teams of "
                f"ranks; give --batch a multiple of {teams}"
            )
        job = self.job
        own = replace(job, images=self.images // teams)
        own.__dict__["model"] = job.model
        return own

    def on(self, network: Topology, ranks: int | None = None) -> Setting:
        """The same on another network, or on another number of ranks."""
        there = replace(self, network=network, ranks=self.ranks if ranks is None else ranks)
        if there.ranks == self.ranks:  # what does not depend on the network is worked out once
            there.__dict__["job"] = self.job
        return there


def makes(schedule: TeamSchedule, ranks: int) -> int:
    """How many images all ranks make where a team is given one.

    Schedules count from a job alone (`TeamSchedule.numbers`), so any model will do; raises
    InputError where ranks do not split over teams.
    """
    chosen: Any = schedule
    images = getattr(chosen, "images", 1)
    if images < 1 or ranks % images:
        raise InputError(
            f"{schedule.name}: images is {images}, expected a number that divides {ranks} ranks"
        )
    return len(schedule.numbers(Job("dit-nano", ranks)))


@dataclass(frozen=True, slots=True)
class _Flop:
    """A cost model whose seconds are FLOP."""

    name: str = "FLOP"
    transfer_share: float = 0.0

    def seconds(self, call: Any) -> float:
        """Of all its kernels."""
        return math.fsum(kernel.flop for kernel in call.kernels)
