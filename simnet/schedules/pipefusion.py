"""PipeFusion: each rank has some of the layers, and patches of the image pass through all ranks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from simnet.codecs.rule import Rule
from simnet.job import Job
from simnet.ops import At, Program
from simnet.schedules.base import Claims, Guide, Team, TeamSchedule, weight_bytes
from simnet.schedules.stage import Stage, layers_of, state_shapes
from simnet.schedules.volume import Volume
from simnet.schedules.wire import wire
from traces.errors import InputError


@dataclass(frozen=True)
class PipeFusion(TeamSchedule):
    """Fang et al. 2024, "PipeFusion: Patch-level Pipeline Parallelism", section 3.

    A rank keeps the keys and values of all patches for its layers, and renews a patch's when it
    comes by; so a patch sees those before it as they are in this step, and those after it as they
    were in the last. The first `warmup_steps` go through all layers in step. `patches` is 0 for as
    many as there are ranks. All text that stands beside the image goes along with every patch.

        rank 0 | patch 0 | patch 1 | next step: patch 0 | ...
        rank 1           | patch 0 | patch 1            | ...

    With a codec, what goes from rank to rank is coded against what it was a step ago; no paper
    has tried that.
    """

    name: ClassVar[str] = "pipefusion"
    patches: int = 0
    warmup_steps: int = 1
    codec: Rule | None = None

    def program(self, job: Job, team: Team, guide: Guide) -> Program:
        """See TeamSchedule."""
        stage = Stage(job, team, guide, wire(self.codec, team.size), self._patches(job))
        for step in range(job.steps):
            yield At(step)
            yield from stage.step(step, together=step < self.warmup_steps)
        return (yield from stage.finish())

    def check(self, job: Job) -> None:
        """There must be a layer for each rank, tokens for each patch, and less of them in code."""
        layers = job.preset.layers
        if layers < job.ranks:
            raise InputError(
                f"pipefusion: {job.model_name} has {layers} layers, too few for {job.ranks} "
                f"ranks; use {layers} or fewer"
            )
        if self.warmup_steps < 1:
            raise InputError(f"pipefusion: warmup_steps is {self.warmup_steps}, expected 1 or more")
        self._check_patches(job)
        for rank in range(1, job.ranks):
            for volume in self._handed(job, layers_of(job, rank, job.ranks)[0]):
                volume.check(self.name, self.codec, job)

    def claims(self, job: Job) -> Claims:
        """T D elements and the text from rank to rank, and a latent's velocity back, a step."""
        patches, shape = self._patches(job), job.preset
        handed, kept = [], []
        for rank in range(job.ranks):
            first, last = layers_of(job, rank, job.ranks)
            into, out = (self._handed(job, layer) if layer else [] for layer in (first, last))
            if rank == job.ranks - 1:
                out = []
            handed.append(patches * sum(volume.sent(self.codec, job) for volume in out))
            bases = patches * sum(volume.bases(self.codec, job) for volume in (*into, *out))
            text = shape.joint_tokens(1) if patches == 1 else 0
            kv = Volume(("k", "v"), job.batch * (shape.tokens + text), shape.hidden, last - first)
            kept.append(kv.nbytes(job) + bases)
        if job.ranks > 1:
            velocity = Volume(("velocity",), job.batch * shape.tokens, shape.channels, 1)
            handed[-1] += velocity.sent(None, job)
        fresh = min(self.warmup_steps, job.steps) if patches > 1 else job.steps
        ages = (0,) * fresh + (1,) * (job.steps - fresh)
        return Claims(tuple(handed), ages, tuple(kept))

    def moved(self, job: Job) -> tuple[int, ...]:
        """See TeamSchedule; the first rank has the whole latent."""
        return (job.preset.tokens, *(0,) * (job.ranks - 1))

    def weight_bytes(self, job: Job) -> tuple[int, ...]:
        """See TeamSchedule; a rank has its layers, and what stands before and after all."""
        model = job.model
        outside = weight_bytes(model) - weight_bytes(*model.blocks)
        spans = (layers_of(job, rank, job.ranks) for rank in range(job.ranks))
        return tuple(outside + weight_bytes(*model.blocks[first:last]) for first, last in spans)

    def _handed(self, job: Job, layer: int) -> list[Volume]:
        """What comes to a layer from another rank, for one patch."""
        return [
            Volume(("hidden",), batch * tokens, width, 1)
            for batch, tokens, width in state_shapes(job, self._patches(job), layer)
        ]

    def _check_patches(self, job: Job) -> None:
        patches, tokens = self._patches(job), job.preset.tokens
        if patches < 1 or tokens % patches:
            fits = (number for number in range(1, tokens + 1) if tokens % number == 0)
            nearest = min(fits, key=lambda number: (abs(number - patches), number))
            why = "" if self.patches else ", one for each rank"
            raise InputError(
                f"pipefusion: patches is {patches}{why}; expected a number that divides the "
                f"{tokens} tokens of {job.model_name}: try patches={nearest}"
            )

    def _patches(self, job: Job) -> int:
        return self.patches or job.ranks
