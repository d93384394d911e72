"""Patch parallelism in step: all ranks gather all keys and values, and then attend to them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from simnet.codecs.rule import Rule
from simnet.job import Job
from simnet.ops import AllGather, Compute, Wait
from simnet.schedules.base import Attention, Claims, SequenceParallel, Steps, Team
from simnet.schedules.volume import Volume
from simnet.schedules.wire import KV, Stream, wire


@dataclass(frozen=True)
class PatchGather(SequenceParallel):
    """Li et al. 2024, "DistriFusion: Distributed Parallel Inference", section 4 (synchronous).

    Nothing overlaps, and nothing is stale.

        rank 0 | project | gather kv0..kv2 | attend kv0..kv2 |

    With a codec (CompactFusion, arXiv 2507.17511, section 3) every rank attends to what came of
    everybody's keys and values through the codec, also of its own, so that all see the same.
    """

    name: ClassVar[str] = "patch"
    codec: Rule | None = None

    def attention(self, job: Job, team: Team) -> Attention:
        """See SequenceParallel."""
        del job
        line = wire(self.codec, team.size)

        def attention(block: Any, q: Any, kv: Any, step: int) -> Steps:
            payload = yield from line.pack(Stream(KV, block.layer, team.rank), step, kv)
            payloads = yield Wait((yield AllGather("kv", payload, team.group)))
            patches = []
            for owner, theirs in zip(team.group.ranks, payloads, strict=True):
                stream = Stream(KV, block.layer, owner)
                patches.append((yield from line.unpack(stream, step, theirs, kv)))
            return (yield Compute(block.attend_patches, q, *patches))

        return attention

    def check(self, job: Job) -> None:
        """The tokens must split evenly, and a codec make less of them."""
        super().check(job)
        if job.ranks > 1:
            Volume.of_kv(job).check(self.name, self.codec, job)

    def claims(self, job: Job) -> Claims:
        """To n - 1 others one rank's keys and values, 2 (T/n) D elements, a layer and step."""
        kv = Volume.of_kv(job)
        sent = (job.ranks - 1) * kv.sent(self.codec, job)
        kept = kv.bases(self.codec, job) * (job.ranks + 1) if job.ranks > 1 else 0
        return Claims((sent,) * job.ranks, (0,) * job.steps, (kept,) * job.ranks)
