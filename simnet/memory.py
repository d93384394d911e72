"""What each rank must have in memory at least, and whether a device has so much."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

from simnet.job import Job
from simnet.schedules.base import TeamSchedule
from traces.units import format_bytes


@dataclass(frozen=True)
class Memory:
    """Bytes of a run, by rank.

    Activations of the layer at hand, a text encoder and a decoder of the latent come on top.
    """

    weights_bytes: tuple[int, ...]
    kept_bytes: tuple[int, ...]  # from one step for the next: bases, buffers of stale activations
    device_bytes: float = math.inf  # that the device has

    @classmethod
    def of(cls, schedule: TeamSchedule, job: Job, device_bytes: float = math.inf) -> Memory:
        """Of a schedule that can run this job, whose tensors may be on "meta"."""
        return cls(schedule.weight_bytes(job), schedule.claims(job).kept_bytes, device_bytes)

    @property
    def most_bytes(self) -> int:
        """Of the rank that has most."""
        return max(map(sum, zip(self.weights_bytes, self.kept_bytes, strict=True)))

    @property
    def fits(self) -> bool:
        """Whether all ranks' devices can hold so much."""
        return self.most_bytes <= self.device_bytes

    def to_json(self) -> dict[str, Any]:
        """For machines; a device without limit is null."""
        known = math.isfinite(self.device_bytes)
        return {
            "weights_bytes": list(self.weights_bytes),
            "kept_bytes": list(self.kept_bytes),
            "device_bytes": int(self.device_bytes) if known else None,
            "fits": self.fits,
        }

    def __str__(self) -> str:
        ranks = list(zip(self.weights_bytes, self.kept_bytes, strict=True))
        weights, kept = most = max(ranks, key=sum)
        whose = "each rank" if len(set(ranks)) == 1 else f"rank {ranks.index(most)}, which has most"
        text = (
            f"memory of {whose}: {format_bytes(weights)} of weights, {format_bytes(kept)} kept "
            "from step to step, without activations, text encoder and decoder"
        )
        if math.isinf(self.device_bytes):
            return text
        verdict = "fits" if self.fits else "does not fit"
        return f"{text}; {verdict} in {format_bytes(self.device_bytes)}"
