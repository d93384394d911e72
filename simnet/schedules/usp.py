"""USP: a mesh of ranks that share heads one way, and pass keys and values on the other way."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from simnet.codecs.rule import Rule
from simnet.job import Job
from simnet.ops import Group
from simnet.schedules.base import Attention, Claims, SequenceParallel, Team
from simnet.schedules.heads import check_heads, exchanged, exchanged_bytes
from simnet.schedules.ring import ring
from simnet.schedules.volume import Volume
from simnet.schedules.wire import Plain, wire
from traces.errors import InputError


@dataclass(frozen=True)
class USP(SequenceParallel):
    """Fang & Zhao 2024, "USP: A Unified Sequence Parallelism Approach", section 3.

    Groups of `ulysses` neighbours share the heads; ranks of the same place in these groups pass
    keys and values round a ring.

        ranks 0 1 | heads shared by 0, 1       ring of 0, 2
              2 3 | heads shared by 2, 3       ring of 1, 3

    A codec is for the ring, as in CompactFusion (arXiv 2507.17511); the all-to-alls go uncoded.
    """

    name: ClassVar[str] = "usp"
    ulysses: int = 2
    codec: Rule | None = None

    def attention(self, job: Job, team: Team) -> Attention:
        """See SequenceParallel."""
        del job
        across = self._across(team.size)
        row, place = divmod(team.place, across)
        ranks = team.group.ranks
        heads = Team(Group(ranks[row * across : (row + 1) * across], "ulysses"), place)
        others = Team(Group(ranks[place::across], "ring"), row)
        return exchanged(Plain(), heads, ring(wire(self.codec, others.size), others))

    def check(self, job: Job) -> None:
        """The mesh must be whole, with a ring for a codec, and tokens and heads split evenly.

        A codec must make less of what is sent.
        """
        super().check(job)
        across = self._across(job.ranks)
        if across < 1 or job.ranks % across:
            raise InputError(
                f"usp: ulysses is {self.ulysses}, expected a number that divides {job.ranks} ranks"
            )
        if self.codec is not None and self.ulysses == job.ranks > 1:
            raise InputError(
                f"usp: with ulysses={self.ulysses}, {job.ranks} ranks have no ring to code for; "
                "use ulysses with the codec"
            )
        check_heads(self.name, job, across)
        if job.ranks > across:
            self._passed(job).check(self.name, self.codec, job)

    def claims(self, job: Job) -> Claims:
        """Ulysses' volume in groups of u, and a ring's of n/u with 1/u of each token's heads."""
        across, passed = self._across(job.ranks), self._passed(job)
        hops = job.ranks // across - 1
        sent = hops * passed.sent(self.codec, job)
        kept = passed.bases(self.codec, job) * (hops + 1) if hops else 0
        sent += exchanged_bytes(None, job, across)[0]
        return Claims((sent,) * job.ranks, (0,) * job.steps, (kept,) * job.ranks)

    def _passed(self, job: Job) -> Volume:
        """What goes round a ring."""
        kv, across = Volume.of_kv(job), self._across(job.ranks)
        return replace(kv, rows=kv.rows * across, columns=job.preset.hidden // across)

    def _across(self, ranks: int) -> int:
        """How many share the heads; one rank has nobody to share with."""
        return self.ulysses if ranks > 1 else 1
