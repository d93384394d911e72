"""Expert parallelism in step: tokens go to their experts and come back before anything else."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from simnet.job import Job
from simnet.models.experts import ExpertBlock
from simnet.schedules.base import Steps, Team
from simnet.schedules.expert.base import Experts, ExpertSchedule, Gated, in_step
from simnet.schedules.expert.exchange import Expertise


@dataclass(frozen=True)
class ExpertParallel(ExpertSchedule):
    """Lepikhin et al. 2021, "GShard", section 3; here as the baseline of Luo et al. 2025 (DICE).

    Nothing overlaps. Without `skip`, nothing is stale.

        rank 0 | attention, gate | counts | dispatch | experts | combine | shared expert |
    """

    name: ClassVar[str] = "expert"

    def experts(self, job: Job, team: Team) -> Experts:
        """See ExpertSchedule."""
        expertise = Expertise(self, job, team, self.sparing(job))

        def experts(step: int, block: ExpertBlock, gated: Gated) -> Steps:
            half = expertise.memory.leaves_out(job.steps - step, block.layer, synchronous=False)
            routed = yield from expertise.route(step, block, gated[1:], half=half)
            _, combined = yield from in_step(expertise, routed, block, gated.rows)
            return routed, (yield from expertise.arrive(combined, gated.rows))

        return experts
