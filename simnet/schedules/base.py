"""What every schedule is: a description of one rank's work, and what its paper claims of it."""

from __future__ import annotations

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol

from simnet.job import Job
from simnet.ops import At, Compute, Keep, Op, Program


@dataclass(frozen=True)
class Claims:
    """What a schedule says of itself; the tests hold every driver's trace against it."""

    wire_bytes: int  # what one rank puts on the wire in the whole run
    ages: tuple[int, ...]  # per step: how many steps old the other ranks' activations are


class Schedule(Protocol):
    """A frozen dataclass whose fields are the schedule's own parameters."""

    name: ClassVar[str]

    def __call__(self, job: Job, rank: int) -> Program:
        """The generator for one rank; returns its patch of the denoised latent (1, T/n, C)."""
        ...

    def check(self, job: Job) -> None:
        """Raise InputError where this schedule cannot run this job."""
        ...

    def claims(self, job: Job) -> Claims:
        """The schedule's volume and staleness for this job."""
        ...


#: Attention of one block over all ranks' tokens: (block, q, kv, step) -> (out, lse).
Attention = Callable[[Any, Any, Any, int], Generator[Op, Any, Any]]


def denoise(job: Job, rank: int, attention: Attention) -> Program:
    """Denoise this rank's patch; only `attention` touches other ranks.

    Everything else in a DiT works on each token by itself (Peebles & Xie 2023), so a rank keeps
    its tokens from the first step to the last.
    """
    model = job.model
    x, position = job.patch(rank)
    for step in range(job.steps):
        yield At(step)
        c = yield Compute(model.condition, job.time(step), job.label)
        h = yield Compute(model.embed, x, position)
        for block in model.blocks:
            yield At(step, block.layer)
            q, kv, gates = yield Compute(block.project, h, c)
            yield Keep("kv", kv)
            out, _ = yield from attention(block, q, kv, step)
            h = yield Compute(block.finish, h, gates, out)
            yield Keep("hidden", h)
        yield At(step)
        velocity = yield Compute(model.head, h, c)
        x = yield Compute(job.advance, x, velocity)
        yield Keep("latent", x)
    return x
