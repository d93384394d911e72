"""The dry run: what it finds out before anything runs for real."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import pytest
import torch

from simnet.drivers.rehearsal import dry_run
from simnet.job import Job
from simnet.ops import AllGather, At, Group, Program, Recv, Wait
from simnet.schedules.base import Claims
from simnet.schedules.ring import RingAttention
from traces.errors import InputError, ScheduleError


@dataclass(frozen=True)
class Odd:
    """Deadlocks where the last step is the one with this number; talks in pairs before."""

    name: ClassVar[str] = "odd"
    stuck_at: int = 0

    def __call__(self, job: Job, rank: int) -> Program:
        """See Schedule."""
        value = torch.zeros(4, device=job.device)
        for step in range(job.steps):
            yield At(step)
            if step == job.steps - 1 == self.stuck_at:
                yield Wait((yield Recv("x", value, 1 - rank)))
            else:
                yield Wait((yield AllGather("x", value, Group((0, 1), f"pair {step}"))))

    def check(self, job: Job) -> None:
        """Any."""

    def claims(self, job: Job) -> Claims:
        """None."""
        return Claims((0,) * job.ranks, (0,) * job.steps, (0,) * job.ranks)


def test_a_schedule_that_one_step_is_too_short_for_is_warmed_up_whole() -> None:
    """It would wait for ever in a warm-up of one step."""
    job = Job("dit-nano", ranks=2, steps=3)
    rehearsal = dry_run(Odd(stuck_at=0), job)
    assert rehearsal.warm_up(job) is job
    assert rehearsal.groups == [Group((0, 1), f"pair {step}") for step in range(3)]


def test_a_deadlock_in_the_last_step_is_found() -> None:
    """However late it comes."""
    with pytest.raises(ScheduleError, match="step 6"):
        dry_run(Odd(stuck_at=6), Job("dit-nano", ranks=2, steps=7))


def test_others_are_warmed_up_with_one_step() -> None:
    """With the same model."""
    job = Job("dit-nano", ranks=2, steps=3)
    short = dry_run(RingAttention(), job).warm_up(job)
    assert (short.steps, short.model is job.model) == (1, True)


def test_an_activation_that_is_not_offered_cannot_be_kept() -> None:
    """The ones that are come with the error."""
    with pytest.raises(InputError, match="there are hidden, kv, label, latent"):
        dry_run(RingAttention(), Job("dit-nano", ranks=2, steps=1), keep=["q"])
