"""Ring attention: keys and values travel round the ring while each rank attends to what it has."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from simnet.codecs.rule import Rule
from simnet.job import Job
from simnet.ops import Compute, Shift, Wait
from simnet.schedules.base import Attention, Claims, SequenceParallel, Steps, Team
from simnet.schedules.volume import Volume
from simnet.schedules.wire import KV, Stream, Wire, wire


@dataclass(frozen=True)
class RingAttention(SequenceParallel):
    """Liu, Zaharia & Abbeel 2023, "Ring Attention with Blockwise Transformers", section 3.

    In n - 1 hops every rank sees every other rank's keys and values. A hop overlaps with the
    attention to the part that is already there, and partial results merge by log-sum-exp, so the
    output is the single device's up to rounding.

        rank 0 | attend kv0 | attend kv2 | attend kv1 |
               | kv0 to 1   | kv2 to 1   |

    With a codec (CompactFusion, arXiv 2507.17511, section 3) a rank codes its own once, all pass
    the payload on as it is, and each decodes it; to its own a rank attends uncoded.
    """

    name: ClassVar[str] = "ring"
    codec: Rule | None = None

    def attention(self, job: Job, team: Team) -> Attention:
        """See SequenceParallel."""
        del job
        return ring(wire(self.codec, team.size), team)

    def check(self, job: Job) -> None:
        """The tokens must split evenly, and a codec make less of them."""
        super().check(job)
        if job.ranks > 1:
            Volume.of_kv(job).check(self.name, self.codec, job)

    def claims(self, job: Job) -> Claims:
        """n - 1 hops of one rank's keys and values, 2 (T/n) D elements, a layer and step."""
        kv, hops = Volume.of_kv(job), job.ranks - 1
        sent = hops * kv.sent(self.codec, job)
        kept = kv.bases(self.codec, job) * job.ranks if hops else 0
        return Claims((sent,) * job.ranks, (0,) * job.steps, (kept,) * job.ranks)


def ring(line: Wire, team: Team) -> Attention:
    """Attention of a team that has a part of keys and values each."""

    def attention(block: Any, q: Any, kv: Any, step: int) -> Steps:
        partial = None
        theirs = kv
        payload = yield from line.pack(Stream(KV, block.layer, team.rank), step, kv)
        for hop in range(team.size):
            last = hop == team.size - 1
            incoming = None if last else (yield Shift("kv", payload, group=team.group))
            if partial is None:
                partial = yield Compute(block.attend, q, theirs)
            else:
                partial = yield Compute(block.attend_more, q, theirs, *partial)
            if incoming is not None:
                payload = yield Wait(incoming)
                owner = team.group.ranks[(team.place - hop - 1) % team.size]
                stream = Stream(KV, block.layer, owner)
                theirs = yield from line.unpack(stream, step, payload, kv)
        return partial

    return attention
