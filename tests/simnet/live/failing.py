"""A schedule that fails on one rank, in a step that the dry run does not get to."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch

from simnet import run_distributed
from simnet.job import Job
from simnet.ops import AllGather, At, Compute, Program, Wait
from simnet.schedules.base import Claims
from traces.errors import RunError


def fail(value: torch.Tensor) -> None:
    """Only with real values."""
    if not value.is_meta:
        raise ValueError("out of luck")


@dataclass(frozen=True)
class Failing:
    """No paper: a test."""

    name: ClassVar[str] = "failing"

    def __call__(self, job: Job, rank: int) -> Program:
        """See Schedule."""
        mine = torch.zeros(4, device=job.device)
        for step in range(job.steps):
            yield At(step)
            yield Wait((yield AllGather("x", mine)))
            if (rank, step) == (1, 2):
                yield Compute(fail, mine)

    def check(self, job: Job) -> None:
        """Any."""

    def claims(self, job: Job) -> Claims:
        """None."""
        return Claims((0,) * job.ranks, (0,) * job.steps, (0,) * job.ranks)


if __name__ == "__main__":
    try:
        run_distributed(Failing(), Job("dit-nano", ranks=3, steps=4), Path(sys.argv[1]))
    except RunError as error:
        print(error)
        sys.exit(1)
