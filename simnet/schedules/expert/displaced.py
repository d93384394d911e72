"""Displaced expert parallelism: every transfer has a whole step's time, and outputs are two old."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from simnet.job import Job
from simnet.schedules.expert.stale import StaleExperts


@dataclass(frozen=True)
class DisplacedExperts(StaleExperts):
    """Luo et al. 2025, "DICE" (arXiv 2411.16786), their displaced expert parallelism.

    A layer's experts work on tokens that were sent a step ago, and what a token gets was computed
    a step before that: outputs are two steps old.

        rank 0 | layer 0: dispatch(s), experts on s-1, combine(s-1), uses s-2 | layer 1 ...
    """

    name: ClassVar[str] = "displaced-expert"

    def partners(self, job: Job) -> dict[int, int]:
        """See StaleExperts; a layer's own experts work on its tokens of the step before."""
        return {layer: layer for layer in self.asynchronous(job)}
