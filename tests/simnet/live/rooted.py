"""Collectives with a root and their like, live and in one process, to be compared.

rooted.py FOLDER; leaves the traces FOLDER/live and FOLDER/local.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import torch

from simnet import run_distributed, run_local
from simnet.job import Job
from simnet.ops import (
    At,
    Barrier,
    Broadcast,
    Compute,
    Gather,
    Group,
    Keep,
    Program,
    Reduce,
    ReduceScatter,
    Scatter,
    Transfer,
    Wait,
)
from simnet.schedules.base import Claims


def numbered(rank: int) -> torch.Tensor:
    """Twelve numbers that no other rank has."""
    return torch.arange(12.0).view(12, 1) + 100 * rank


def filled(got: Any) -> torch.Tensor:
    """Any result as 48 numbers, so that all activations have one shape."""
    values = got if isinstance(got, list) else [got]
    there = [value.flatten() for value in values if value is not None]
    flat = torch.cat(there) if there else torch.zeros(0)
    return torch.cat([flat.cpu() if not flat.is_meta else flat, flat.new_zeros(48 - len(flat))])


def transfers(mine: torch.Tensor, group: Group | None, root: int) -> Iterator[Transfer]:
    """One of each kind."""
    yield Broadcast("x", mine, root, group)
    yield Reduce("x", mine, root, group)
    yield Gather("x", mine, root, group)
    yield Scatter("x", mine, root, group)
    yield ReduceScatter("x", mine, group)
    yield Barrier(group=group)


@dataclass(frozen=True)
class Rooted:
    """No paper: a test."""

    name: ClassVar[str] = "rooted"

    def __call__(self, job: Job, rank: int) -> Program:
        """See Schedule."""
        some = Group((0, 1, 3), "some")
        for step in range(job.steps):
            yield At(step)
            mine = (yield Compute(numbered, rank)).to(job.device)
            for kind, op in enumerate(transfers(mine, None, root=2)):
                got = yield Wait((yield op))
                yield Keep(f"all {kind}", (yield Compute(filled, got)))
            for kind, op in enumerate(transfers(mine, some, root=1)):
                if rank in some.ranks:
                    got = yield Wait((yield op))
                    yield Keep(f"some {kind}", (yield Compute(filled, got)))

    def check(self, job: Job) -> None:
        """Any."""

    def claims(self, job: Job) -> Claims:
        """None."""
        return Claims((0,) * job.ranks, (0,) * job.steps, (0,) * job.ranks)


def main(folder: str) -> None:
    """Run it both ways."""
    job = Job("dit-nano", ranks=4, steps=2)
    keep = [f"{who} {kind}" for who in ("all", "some") for kind in range(6)]
    run_distributed(Rooted(), job, Path(folder) / "live", keep=keep)
    run_local(Rooted(), job, Path(folder) / "local", keep=keep)


if __name__ == "__main__":
    main(*sys.argv[1:])
