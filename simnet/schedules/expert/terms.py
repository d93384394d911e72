"""What all ways of expert parallelism leave open."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from simnet.schedules.expert.conditional import NOBODY, Policy, Refreshed
from simnet.schedules.expert.placement import STRIDED, Placement
from simnet.schedules.expert.routing import BALANCE, Zipf
from simnet.schedules.expert.rows import FLOAT32, Precision


@dataclass(frozen=True)
class Terms:
    """Parameters of a schedule with experts on all ranks.

    `communicators` is 1 where token counts, dispatches and combines share one, as in the released
    code, where each waits for those before it; 3 gives each its own. `wire` is the type
    that rows travel in: float32 in the released code, whatever the model's, for that is what a
    layer norm gives under torch's autocast. `skew` is how unevenly
    experts are wanted in a simulation, which has no tokens to ask. Where slots may be left out
    (`skip`), all are sent in every `period`-th step.
    """

    placement: Placement = STRIDED
    communicators: int = 1
    wire: Precision = FLOAT32
    skew: Zipf = BALANCE
    skip: Policy = NOBODY
    period: int = 2
    memory: ClassVar[type[Refreshed]] = Refreshed  # what slots that may be left out are kept in
