"""A schedule of one's own: every rank waits for everybody's keys and values in every layer."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from simnet import Job, RingAttention, Roofline, device, simulate
from simnet.network.presets import network
from simnet.ops import AllGather, Compute, Wait
from simnet.schedules.base import Attention, Claims, SequenceParallel, Steps, Team
from traces import summarize


@dataclass(frozen=True)
class GatherAttention(SequenceParallel):
    """One all-gather of keys and values a layer, waited for at once."""

    name: ClassVar[str] = "gather"

    def attention(self, job: Job, team: Team) -> Attention:
        """See SequenceParallel."""
        del job

        def attention(block: Any, q: Any, kv: Any, step: int) -> Steps:
            del step
            ticket = yield AllGather("kv", kv, team.group)
            patches = yield Wait(ticket)
            return (yield Compute(block.attend_patches, q, *patches))

        return attention

    def claims(self, job: Job) -> Claims:
        """As much as the ring sends, and never stale."""
        return RingAttention().claims(job)


def main() -> None:
    """Compare it with the ring, which hides a part of the same volume."""
    job = Job("dit-xl-2-512", ranks=4, steps=4, dtype="bfloat16")
    for schedule in (RingAttention(), GatherAttention()):
        summary = summarize(
            simulate(schedule, job, Roofline(device("l20")), network("ethernet-10g"))
        )
        waiting = summary.exposed_s / summary.total_s
        print(f"{schedule.name}: {summary.total_s:.3f} s (predicted), {waiting:.0%} of it waiting")


if __name__ == "__main__":
    main()
