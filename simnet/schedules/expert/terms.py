"""What all ways of expert parallelism leave open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from simnet.job import Job
from simnet.schedules.expert.conditional import NOBODY, Policy, Refreshed
from simnet.schedules.expert.placement import STRIDED, Placement
from simnet.schedules.expert.routing import EVEN, Routing, Where
from simnet.schedules.expert.rows import FLOAT32, Precision


@dataclass(frozen=True)
class Terms:
    """Parameters of a schedule with experts on all ranks.

    `communicators` is 1 where token counts, dispatches and combines share one, as in the released
    code, where each waits for those before it; 3 gives each its own. `wire` is the type
    that rows travel in: float32 in the released code, whatever the model's, for that is what a
    layer norm gives under torch's autocast. `routing` is how unevenly
    experts are wanted in a simulation, which has no tokens to ask. Where slots may be left out
    (`skip`), all are sent in every `period`-th step.
    """

    placement: Placement = STRIDED
    communicators: int = 1
    wire: Precision = FLOAT32
    routing: Routing = EVEN
    skip: Policy = NOBODY
    period: int = 2
    memory: ClassVar[type[Refreshed]] = Refreshed  # what slots that may be left out are kept in

    def loads(self, job: Job, ranks: int, slots: int, step: int, layer: int) -> list[list[int]]:
        """Of each rank's so many slots, how many fall to each expert, in the experts' places."""
        experts, layers = job.preset.experts, job.preset.layers
        assert experts is not None
        order = self.placement.order(experts.count, ranks)
        wheres = (Where(rank, step, job.steps, layer, layers) for rank in range(ranks))
        wanted = [self.routing.loads(slots, experts.count, where) for where in wheres]
        return [[loads[expert] for expert in order] for loads in wanted]
