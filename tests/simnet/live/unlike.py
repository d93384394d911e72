"""Ranks that name different sizes, but only where there are real tensors: unlike.py FOLDER."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch

from simnet import run_distributed
from simnet.job import Job
from simnet.ops import AllToAll, At, Program, Wait
from simnet.schedules.base import Claims
from traces.errors import ScheduleError


@dataclass(frozen=True)
class Unlike:
    """No paper: a test."""

    name: ClassVar[str] = "unlike"

    def __call__(self, job: Job, rank: int) -> Program:
        """See Schedule. Rank 1 hopes for a row more of rank 0 than there is."""
        for step in range(job.steps):
            yield At(step)
            hoped = 3 if step == 1 and job.device != "meta" else 2
            sends, takes = ((1, 2), (1, 2)) if rank == 0 else ((2, 1), (hoped, 1))
            value = torch.zeros(3, 2, device=job.device)
            yield Wait((yield AllToAll("x", value, sends=sends, takes=takes)))

    def check(self, job: Job) -> None:
        """Any."""

    def claims(self, job: Job) -> Claims:
        """None."""
        return Claims((0,) * job.ranks, (0,) * job.steps, (0,) * job.ranks)


if __name__ == "__main__":
    try:
        run_distributed(Unlike(), Job("dit-nano", ranks=2, steps=2), Path(sys.argv[1]))
    except ScheduleError as error:
        print(error)
        sys.exit(1)
