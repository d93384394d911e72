"""Ulysses: each rank attends for all tokens, with its share of the heads."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from simnet.codecs.rule import Rule
from simnet.job import Job
from simnet.ops import Compute
from simnet.schedules.base import Attention, Claims, SequenceParallel, Steps, Team
from simnet.schedules.heads import check_heads, exchanged, exchanged_bytes, volumes
from simnet.schedules.wire import wire


@dataclass(frozen=True)
class Ulysses(SequenceParallel):
    """Jacobs et al. 2023, "DeepSpeed Ulysses", section 3: all-to-alls turn tokens into heads.

    Two bring a rank the queries, and the keys and values, of all tokens for its heads; a third
    takes the outputs back. Nothing overlaps, and nothing is stale.

        rank 0 | project | q: heads for tokens | kv | attend, all tokens, heads 0..h | back |

    With a codec, what goes to each rank is a stream of its own; no paper has tried that.
    """

    name: ClassVar[str] = "ulysses"
    codec: Rule | None = None

    def attention(self, job: Job, team: Team) -> Attention:
        """See SequenceParallel."""
        del job
        return exchanged(wire(self.codec, team.size), team, _all_tokens)

    def check(self, job: Job) -> None:
        """Tokens and heads must split evenly, and a codec make less of what is sent."""
        super().check(job)
        check_heads(self.name, job, job.ranks)
        if job.ranks > 1:
            for volume in volumes(job, job.ranks):
                volume.check(self.name, self.codec, job)

    def claims(self, job: Job) -> Claims:
        """(n - 1)/n of a rank's queries, keys, values and outputs, 4 (T/n) D elements."""
        sent, kept = exchanged_bytes(self.codec, job, job.ranks)
        return Claims((sent,) * job.ranks, (0,) * job.steps, (kept,) * job.ranks)


def _all_tokens(block: Any, q: Any, kv: Any, step: int) -> Steps:
    del step
    return (yield Compute(block.attend, q, kv))
