"""Interweaved expert parallelism: a layer's experts work while the next layer's attention does."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from simnet.job import Job
from simnet.schedules.expert.stale import StaleExperts


@dataclass(frozen=True)
class Interweaved(StaleExperts):
    """Luo et al. 2025, "DICE" (arXiv 2411.16786), their interweaved parallelism.

    While a layer's tokens are on their way, the experts of the layer before work on theirs, which
    have arrived by now. Only what comes back is for the next step: outputs are one step old.

        rank 0 | layer 1: dispatch(1), experts of layer 0, combine(0) for the next step | layer 2
    """

    name: ClassVar[str] = "interweaved"

    def partners(self, job: Job) -> dict[int, int]:
        """See StaleExperts; the asynchronous layer before, or the last one of the step before."""
        layers = self.asynchronous(job)
        return dict(zip(layers, [*layers[-1:], *layers[:-1]], strict=True))
