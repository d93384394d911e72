"""One device does it all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from simnet.job import Job
from simnet.ops import Compute
from simnet.schedules.base import Attention, Claims, SequenceParallel, Steps, Team
from traces.errors import InputError


@dataclass(frozen=True)
class Single(SequenceParallel):
    """Peebles & Xie 2023, "Scalable Diffusion Models with Transformers": no parallelism.

    rank 0 | every step: all layers on all tokens
    """

    name: ClassVar[str] = "single"
    no_codec: ClassVar[str] = "it sends nothing"

    def attention(self, job: Job, team: Team) -> Attention:
        """See SequenceParallel."""
        del job, team

        def attention(block: Any, q: Any, kv: Any, step: int) -> Steps:
            del step  # every step is the same
            return (yield Compute(block.attend, q, kv))

        return attention

    def check(self, job: Job) -> None:
        """One rank, or nobody would know of the others' tokens."""
        if job.ranks != 1:
            raise InputError(f"single: {job.ranks} ranks, expected 1; other schedules share")

    def claims(self, job: Job) -> Claims:
        """Nothing is sent, nothing stale."""
        return Claims((0,), (0,) * job.steps, (0,))
