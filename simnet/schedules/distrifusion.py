"""DistriFusion: attend to the other ranks' keys and values of the step before, never waiting."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import dataclass
from typing import Any, ClassVar

from simnet.job import Job
from simnet.ops import AllGather, Compute, Op, Program, Ticket, Wait
from simnet.schedules.base import Claims, denoise
from traces.errors import InputError


@dataclass(frozen=True)
class DistriFusion:
    """Li et al. 2024, "DistriFusion: Distributed Parallel Inference", section 4 (displaced patch).

    After `warmup_steps` synchronous steps, a layer uses its own fresh keys and values and the
    others' from one step ago, whose all-gather had a whole step to complete in. Unlike in the
    published code, `warmup_steps` counts all synchronous steps (there, one comes on top), and the
    last step gathers nothing, for nobody would read it.
    """

    name: ClassVar[str] = "distrifusion"
    warmup_steps: int = 1

    def __call__(self, job: Job, rank: int) -> Program:
        """See Schedule."""
        previous: dict[int, Ticket] = {}

        def attention(block: Any, q: Any, kv: Any, step: int) -> Generator[Op, Any, Any]:
            if step < self.warmup_steps:
                used = previous[block.layer] = yield AllGather("kv", kv)
            else:
                used = previous[block.layer]
                if step < job.steps - 1:
                    previous[block.layer] = yield AllGather("kv", kv)
            patches = yield Wait(used)
            patches[rank] = kv
            return (yield Compute(block.attend_patches, q, *patches))

        return denoise(job, rank, attention)

    def check(self, job: Job) -> None:
        """At least one step must be synchronous: there is nothing to be stale before it."""
        del job  # one that is over before the warm-up will do
        if self.warmup_steps < 1:
            raise InputError(
                f"distrifusion: warmup_steps is {self.warmup_steps}, expected 1 or more"
            )

    def claims(self, job: Job) -> Claims:
        """2 (T/n) D (n - 1) elements a layer and gathered step; one step stale after warm-up."""
        fresh = min(self.warmup_steps, job.steps)
        gathered = job.steps if fresh == job.steps else job.steps - 1
        return Claims(
            wire_bytes=(job.ranks - 1) * job.kv_bytes * job.preset.layers * gathered,
            ages=(0,) * fresh + (1,) * (job.steps - fresh),
        )
