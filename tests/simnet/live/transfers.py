"""A schedule of its own that uses every kind of transfer, and checks what came."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch

from simnet import run_distributed
from simnet.job import Job
from simnet.ops import (
    AllGather,
    AllReduce,
    AllToAll,
    At,
    Compute,
    Group,
    Program,
    Recv,
    Send,
    Shift,
    Wait,
)
from simnet.schedules.base import Claims


def same(value: torch.Tensor, *expected: int) -> None:
    """Complain unless the value is as expected; meta tensors of a dry run have none."""
    if not value.is_meta and value.flatten().tolist() != list(expected):
        raise ValueError(f"{value.tolist()} is not {list(expected)}")


@dataclass(frozen=True)
class Everything:
    """No paper: a test."""

    name: ClassVar[str] = "everything"

    def __call__(self, job: Job, rank: int) -> Program:
        """See Schedule."""
        mine = torch.full((4,), float(rank), device=job.device)
        odd = Group((1, 3), "odd")
        for step in range(job.steps):
            yield At(step)
            gathered = yield Wait((yield AllGather("x", mine)))
            yield Compute(same, torch.stack(gathered)[:, 0], 0, 1, 2, 3)
            summed = yield Wait((yield AllReduce("x", mine)))
            yield Compute(same, summed, 6, 6, 6, 6)
            parts = yield Wait((yield AllToAll("x", mine)))
            yield Compute(same, torch.cat(parts), 0, 1, 2, 3)
            back = yield Wait((yield Shift("x", mine, by=-1)))
            yield Compute(same, back, *[(rank + 1) % 4] * 4)
            if rank in odd.ranks:
                both = yield Wait((yield AllGather("y", mine, odd)))
                yield Compute(same, torch.stack(both)[:, 0], 1, 3)
                # Two communicators of the same ranks, asked for in different orders.
                one, other = (Group(odd.ranks, name) for name in ("ab" if rank == 1 else "ba"))
                first = yield AllGather(one.name, mine + ord(one.name), one)
                second = yield AllGather(other.name, mine + ord(other.name), other)
                a, b = (first, second) if rank == 1 else (second, first)
                yield Compute(same, torch.stack((yield Wait(a)))[:, 0], 98, 100)
                yield Compute(same, torch.stack((yield Wait(b)))[:, 0], 99, 101)
            # Pairs that come to their communicators in a circle.
            pairs = [Group(tuple(sorted((r, (r + 1) % 4))), f"pair {r}") for r in range(4)]
            ahead = yield AllGather("z", mine, pairs[rank])
            behind = yield AllGather("z", mine, pairs[rank - 1])
            yield Wait(ahead)
            yield Wait(behind)
            if rank == 0:
                # Received in another order than it was asked for.
                first, second = (yield Recv("a", mine, 2)), (yield Recv("b", mine, 3))
                yield Compute(same, (yield Wait(second)), 3, 3, 3, 3)
                yield Send("c", mine, 2)
                yield Compute(same, (yield Wait(first)), 2, 2, 2, 2)
            if rank == 2:
                ready = yield Recv("c", mine, 0)
                yield Wait(ready)
                yield Send("a", mine, 0)
            if rank == 3:
                yield Send("b", mine, 0)
        if job.device != "meta" and job.steps == 2:
            print(f"rank {rank} has seen what it should")

    def check(self, job: Job) -> None:
        """Any."""

    def claims(self, job: Job) -> Claims:
        """None."""
        return Claims((0,) * job.ranks, (0,) * job.steps, (0,) * job.ranks)


if __name__ == "__main__":
    run_distributed(Everything(), Job("dit-nano", ranks=4, steps=2), Path(sys.argv[1]))
