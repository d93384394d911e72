"""How fast a plan is at best, without simulating it: what must be computed, what must be sent."""

from __future__ import annotations

import math
from collections import defaultdict
from typing import TYPE_CHECKING

from simnet.network.collectives.selection import RING
from simnet.schedules.expert.base import ExpertSchedule
from simnet.schedules.named import innermost
from traces.units import bits

if TYPE_CHECKING:
    from analysis.plan.setting import Setting
    from simnet.job import Job
    from simnet.network.path import Hop
    from simnet.schedules.base import Claims, TeamSchedule

#: Steps at the end in which experts are sent what nobody waits for: outputs are two old at most.
_UNHEARD = 2


def at_least_s(setting: Setting, schedule: TeamSchedule, job: Job, claims: Claims) -> float:
    """A plan takes no less than this.

    All products of matrices, shared out evenly at the GPU's full rate; or the bytes that a
    schedule claims to send, at the full rates of all links out of the ranks that send them.
    Whatever else there is (memory traffic, launches, latencies, waiting) only adds to it.
    """
    return setting.outside_s + max(
        _computing_s(setting), _sending_s(setting, schedule, job, claims)
    )


def _computing_s(setting: Setting) -> float:
    single = setting.dtype == "float32"
    flops = setting.device.flops_fp32 if single else setting.device.flops
    flop = setting.step_flop * setting.steps * setting.images
    return flop / flops / setting.ranks


def _sending_s(setting: Setting, schedule: TeamSchedule, job: Job, claims: Claims) -> float:
    if setting.network.collectives != RING or job.steps <= _UNHEARD or job.ranks == 1:
        return 0.0  # other algorithms of collectives may send fewer bytes than are claimed
    if isinstance(innermost(schedule), ExpertSchedule):
        claims = schedule.claims(job.variant(steps=job.steps - _UNHEARD))
    sent: dict[frozenset[Hop], float] = defaultdict(float)
    for rank, nbytes in enumerate(claims.wire_bytes):
        sent[_ways_out(setting, rank)] += nbytes
    return max(_at_most_s(hops, nbytes) for hops, nbytes in sent.items())


def _ways_out(setting: Setting, rank: int) -> frozenset[Hop]:
    others = (other for other in range(setting.ranks) if other != rank)
    return frozenset(setting.network.path(rank, other).hops[0] for other in others)


def _at_most_s(hops: frozenset[Hop], nbytes: float) -> float:
    """What passes at once after a rest counts as sent already."""
    rate_bps = math.fsum(hop.rate_bps for hop in hops)
    return max(0.0, bits(nbytes - sum(hop.burst_bytes for hop in hops))) / rate_bps
