"""Schedules around schedules: teams of ranks that do different forwards, or different images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from simnet.job import Job
from simnet.ops import AllGather, Compute, Group, Program, Wait
from simnet.schedules.base import Claims, Guide, Steps, Team, TeamSchedule
from simnet.schedules.ring import RingAttention
from traces.errors import InputError

_RING = RingAttention()


@dataclass(frozen=True)
class CfgParallel(TeamSchedule):
    """Fang et al. 2024, "xDiT", section 4.2: half of the ranks do each forward of guidance.

    Each half denoises as `inner` says. Before a step moves the latent, ranks of the same place in
    both halves gather both velocities. Of the two equal results the first half's is the output.

        ranks 0 1 | forward for nothing in particular | velocities of 0 and 2,
              2 3 | forward for what is asked         | of 1 and 3
    """

    name: ClassVar[str] = "cfg"
    inner: TeamSchedule = _RING

    def program(self, job: Job, team: Team, guide: Guide) -> Program:
        """See TeamSchedule."""
        forward, half = _teams(team, 2)
        ranks = team.group.ranks
        pair = Group((ranks[half.place], ranks[half.place + half.size]), "cfg")

        def both(velocity: Any) -> Steps:
            velocities = yield Wait((yield AllGather("velocity", velocity, pair)))
            return (yield from guide((yield Compute(_batch, *velocities))))

        own = job.with_model().variant(ranks=half.size, forward=forward)
        x = yield from self.inner.program(own, half, both)
        return x if forward == 0 else x[:, :0]

    def check(self, job: Job) -> None:
        """There must be two forwards that nobody else shares out, and two halves."""
        if job.forward is not None:
            raise InputError(
                "cfg: guidance has two forwards, which another cfg around this one shares out "
                "already; write cfg once"
            )
        if job.preset.forwards != 2:
            raise InputError(
                f"cfg: a step of {job.model_name} is one forward; expected two to share"
            )
        if job.ranks % 2:
            raise InputError(f"cfg: {job.ranks} ranks have no two halves; use an even number")
        self.inner.check(self._half(job))

    def claims(self, job: Job) -> Claims:
        """What each half's ranks send, and each that moves a latent one velocity a step."""
        half = self._half(job)
        inner = self.inner.claims(half)
        element = job.images * job.preset.channels * job.torch_dtype.itemsize * job.steps
        moved = [tokens * element for tokens in self.inner.moved(half)]
        sent = [a + b for a, b in zip(inner.wire_bytes, moved, strict=True)]
        return Claims((*sent, *sent), inner.ages, inner.kept_bytes * 2)

    def numbers(self, job: Job) -> range:
        """See TeamSchedule; each half's are the same."""
        return self.inner.numbers(self._half(job))

    def gathered(self, parts: Sequence[Tensor]) -> Tensor:
        """See TeamSchedule; the first half's are the output."""
        return self.inner.gathered(parts[: len(parts) // 2])

    def moved(self, job: Job) -> tuple[int, ...]:
        """See TeamSchedule; both halves move all of it."""
        return self.inner.moved(self._half(job)) * 2

    def weight_bytes(self, job: Job) -> tuple[int, ...]:
        """See TeamSchedule."""
        return self.inner.weight_bytes(self._half(job)) * 2

    @staticmethod
    def _half(job: Job) -> Job:
        return job.variant(ranks=job.ranks // 2, forward=0)


@dataclass(frozen=True)
class DataParallel(TeamSchedule):
    """Li et al. 2020, "PyTorch Distributed", section 2: teams that denoise an image each.

    Each of `images` teams works as `inner` says, and hears nothing of the others.
    """

    name: ClassVar[str] = "data"
    images: int = 2
    inner: TeamSchedule = _RING

    def program(self, job: Job, team: Team, guide: Guide) -> Program:
        """See TeamSchedule."""
        image, own = _teams(team, self.images)
        number = job.number * self.images + image
        job = job.with_model().variant(ranks=own.size, number=number)
        return self.inner.program(job, own, guide)

    def check(self, job: Job) -> None:
        """The ranks must split evenly over the images."""
        if self.images < 1 or job.ranks % self.images:
            raise InputError(
                f"data: images is {self.images}, expected a number that divides {job.ranks} ranks"
            )
        self.inner.check(job.variant(ranks=job.ranks // self.images))

    def claims(self, job: Job) -> Claims:
        """The same for each image."""
        inner = self.inner.claims(job.variant(ranks=job.ranks // self.images))
        return Claims(inner.wire_bytes * self.images, inner.ages, inner.kept_bytes * self.images)

    def numbers(self, job: Job) -> range:
        """See TeamSchedule; the teams' batches follow each other."""
        team = job.variant(ranks=job.ranks // self.images)
        first, last = (
            self.inner.numbers(team.variant(number=job.number * self.images + place))
            for place in (0, self.images - 1)
        )
        return range(first.start, last.stop)

    def gathered(self, parts: Sequence[Tensor]) -> Tensor:
        """See TeamSchedule."""
        size = len(parts) // self.images
        teams = (parts[first : first + size] for first in range(0, len(parts), size))
        return torch.cat([self.inner.gathered(team) for team in teams])

    def moved(self, job: Job) -> tuple[int, ...]:
        """See TeamSchedule; each image is moved by its team."""
        return self.inner.moved(job.variant(ranks=job.ranks // self.images)) * self.images

    def weight_bytes(self, job: Job) -> tuple[int, ...]:
        """See TeamSchedule."""
        return self.inner.weight_bytes(job.variant(ranks=job.ranks // self.images)) * self.images


def _teams(team: Team, teams: int) -> tuple[int, Team]:
    """Which of so many equal teams of neighbours this rank is in, and its place there."""
    size = team.size // teams
    number, place = divmod(team.place, size)
    ranks = team.group.ranks[number * size : (number + 1) * size]
    return number, Team(Group(ranks), place)


def _batch(*velocities: Tensor) -> Tensor:
    return torch.cat(velocities)
