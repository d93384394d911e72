"""All-to-alls of parts that differ, live and in one process, to be compared.

parts.py FOLDER SIZES; leaves the traces FOLDER/live and FOLDER/local. SIZES is JSON: for each step
how many rows each rank has for each.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch

from simnet import run_distributed, run_local
from simnet.job import Job
from simnet.ops import AllToAll, At, Compute, Keep, Program, Wait
from simnet.schedules.base import Claims

#: Of what a rank gets; the rest is filled up, so that all activations have one shape.
MOST_ROWS = 64


def numbered(rows: int, rank: int) -> torch.Tensor:
    """No two rows of any ranks are equal."""
    return torch.arange(2.0 * rows).view(rows, 2) + 1000 * rank


def filled(parts: Sequence[torch.Tensor], *takes: int) -> torch.Tensor:
    """All parts, one after the other, if they have so many rows."""
    if [len(part) for part in parts] != list(takes):
        raise ValueError(f"parts of {[len(part) for part in parts]} rows are not of {list(takes)}")
    rest = parts[0].new_full((MOST_ROWS - sum(takes), 2), -1)
    return torch.cat([*parts, rest])


@dataclass(frozen=True)
class Parts:
    """No paper: a test."""

    name: ClassVar[str] = "parts"
    sizes: tuple[tuple[tuple[int, ...], ...], ...]

    def __call__(self, job: Job, rank: int) -> Program:
        """See Schedule."""
        for step, rows in enumerate(self.sizes[: job.steps]):
            yield At(step)
            sends, takes = rows[rank], [row[rank] for row in rows]
            value = (yield Compute(numbered, sum(sends), rank)).to(job.device)
            ticket = yield AllToAll("x", value, sends=sends, takes=takes)
            yield Keep("got", (yield Compute(filled, (yield Wait(ticket)), *takes)))

    def check(self, job: Job) -> None:
        """Any."""

    def claims(self, job: Job) -> Claims:
        """None."""
        return Claims((0,) * job.ranks, (0,) * job.steps, (0,) * job.ranks)


def main(folder: str, text: str) -> None:
    """Run it both ways."""
    sizes = tuple(tuple(map(tuple, step)) for step in json.loads(text))
    job = Job("dit-nano", ranks=len(sizes[0]), steps=len(sizes))
    run_distributed(Parts(sizes), job, Path(folder) / "live", keep=["got"])
    run_local(Parts(sizes), job, Path(folder) / "local", keep=["got"])


if __name__ == "__main__":
    main(*sys.argv[1:])
