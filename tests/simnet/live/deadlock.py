"""A schedule whose ranks wait for each other."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch

from simnet import run_distributed
from simnet.job import Job
from simnet.ops import At, Program, Recv, Send, Wait
from simnet.schedules.base import Claims
from traces.errors import ScheduleError


@dataclass(frozen=True)
class Deadlock:
    """No paper: a test."""

    name: ClassVar[str] = "deadlock"

    def __call__(self, job: Job, rank: int) -> Program:
        """See Schedule."""
        mine = torch.zeros(4, device=job.device)
        yield At(0)
        yield Wait((yield Recv("x", mine, 1 - rank)))
        yield Send("x", mine, 1 - rank)

    def check(self, job: Job) -> None:
        """Any."""

    def claims(self, job: Job) -> Claims:
        """None."""
        return Claims((0,) * job.ranks, (0,) * job.steps, (0,) * job.ranks)


if __name__ == "__main__":
    try:
        run_distributed(Deadlock(), Job("dit-nano", ranks=2, steps=1), Path(sys.argv[1]))
    except ScheduleError as error:
        print(error)
        sys.exit(1)
