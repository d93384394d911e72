"""What every schedule is: a description of one rank's work, and what its paper claims of it."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple, Protocol

import torch
from torch import Tensor, nn

from simnet.job import Job
from simnet.ops import At, Compute, Group, Keep, Op, Program

#: Part of a program, which gives back a value.
Steps = Generator[Op, Any, Any]


@dataclass(frozen=True)
class Claims:
    """What a schedule says of itself; the tests hold every driver's trace against it."""

    wire_bytes: tuple[int, ...]  # per rank: what it puts on the wire in the whole run
    ages: tuple[int, ...]  # per step: how many steps old the oldest activations are that it uses
    kept_bytes: tuple[int, ...]  # per rank: what it keeps from one step for the next


class Team(NamedTuple):
    """Ranks that denoise the same images together, and this rank's place among them."""

    group: Group
    place: int

    @property
    def rank(self) -> int:
        """This one."""
        return self.group.ranks[self.place]

    @property
    def size(self) -> int:
        """How many they are."""
        return len(self.group.ranks)


#: What becomes of a velocity before it moves the latent: nothing, or what guidance takes.
Guide = Callable[[Any], Steps]


class Schedule(Protocol):
    """A frozen dataclass whose fields are the schedule's own parameters."""

    name: ClassVar[str]

    def __call__(self, job: Job, rank: int) -> Program:
        """The generator for one rank; returns its part of the denoised latents (n, T', C).

        The parts of all ranks, in their order, are the latent; a rank may have none of it.
        """
        ...

    def check(self, job: Job) -> None:
        """Raise InputError where this schedule cannot run this job."""
        ...

    def claims(self, job: Job) -> Claims:
        """The schedule's volume, staleness and memory for this job."""
        ...


class TeamSchedule:
    """A schedule for some ranks, which may be all, or those that share one of several images."""

    name: ClassVar[str]

    def __call__(self, job: Job, rank: int) -> Program:
        """See Schedule."""
        return self.program(job, Team(Group(tuple(range(job.ranks))), rank), unguided)

    def program(self, job: Job, team: Team, guide: Guide) -> Program:
        """As `__call__`, for a job that has as many ranks as the team."""
        raise NotImplementedError

    def check(self, job: Job) -> None:
        """See Schedule; every job will do."""

    def claims(self, job: Job) -> Claims:
        """See Schedule."""
        raise NotImplementedError

    def numbers(self, job: Job) -> range:
        """Which images a job makes, by their numbers: by default its batch, all ranks together."""
        first = job.number * job.images
        return range(first, first + job.images)

    def gathered(self, parts: Sequence[Tensor]) -> Tensor:
        """Those images (N, T, C), in order, from what each rank returned (n, T', C)."""
        return torch.cat(tuple(parts), dim=1)

    def moved(self, job: Job) -> tuple[int, ...]:
        """Of how many of the latent's tokens each rank knows the velocity."""
        return (job.preset.tokens // job.ranks,) * job.ranks

    def weight_bytes(self, job: Job) -> tuple[int, ...]:
        """What each rank has of the model: by default all."""
        return (weight_bytes(job.model),) * job.ranks


def weight_bytes(*modules: nn.Module) -> int:
    """Of these modules, each weight counted once."""
    weights = {id(weight): weight.nbytes for module in modules for weight in module.parameters()}
    return sum(weights.values())


def unguided(velocity: Any) -> Steps:
    """The velocity is what moves the latent."""
    return velocity
    yield


#: One layer: (step, block, h, c) -> h after it.
Layer = Callable[[int, Any, Any, Any], Steps]


def denoised(job: Job, part: tuple[Any, ...], layer: Layer, guide: Guide) -> Program:
    """From noise to image, for ranks that keep their part of the sequence all the way.

    `part` is as `job.part` gives it; returns its latents (n, T', C).
    """
    model, (x, *place) = job.model, part
    for step in range(job.steps):
        yield At(step)
        yield Keep("label", job.label)
        c = yield Compute(model.condition, job.time(step), job.label)
        h = yield Compute(model.embed, c, x, *place)
        for block in model.blocks:
            yield At(step, block.layer)
            h = yield from layer(step, block, h, c)
            yield Keep("hidden", h[0])
        yield At(step)
        velocity = yield Compute(model.head, h, c)
        x = yield Compute(job.advance, x, (yield from guide(velocity)))
        yield Keep("latent", x)
    return x


#: Attention of one block over all ranks' tokens: (block, q, kv, step) -> (out, lse).
Attention = Callable[[Any, Any, Any, int], Steps]


class SequenceParallel(TeamSchedule):
    """Each rank denoises its part of the sequence, and only attention touches other ranks.

    Everything else in a DiT works on each token by itself (Peebles & Xie 2023), so a rank keeps
    its tokens from the first step to the last.
    """

    def attention(self, job: Job, team: Team) -> Attention:
        """This rank's, for a whole run."""
        raise NotImplementedError

    def check(self, job: Job) -> None:
        """See Schedule; the tokens must split evenly."""
        job.check_split()

    def program(self, job: Job, team: Team, guide: Guide) -> Program:
        """See TeamSchedule."""
        attention = self.attention(job, team)

        def layer(step: int, block: Any, h: Any, c: Any) -> Steps:
            q, kv, carry = yield Compute(block.project, h, c)
            yield Keep("kv", kv)
            out, _ = yield from attention(block, q, kv, step)
            return (yield Compute(block.finish, h, carry, out))

        part = job.part(team.place, team.size)
        return (yield from denoised(job, part, layer, guide))
