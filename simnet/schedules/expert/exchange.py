"""One rank's exchange of tokens with the ranks that have their experts."""

from __future__ import annotations

from collections.abc import Collection
from typing import Any, NamedTuple

from simnet.job import Job
from simnet.models.experts import ExpertBlock
from simnet.ops import Compute, Wait
from simnet.schedules.base import Steps, Team
from simnet.schedules.expert.capacity import UNBOUNDED
from simnet.schedules.expert.coded import Coded
from simnet.schedules.expert.freight import Coming, Fixed, Freight, Place, Whole
from simnet.schedules.expert.slots import Arrived, Routed, mend, other, pick
from simnet.schedules.expert.terms import Terms


class Served(NamedTuple):
    """Outputs of this rank's experts."""

    routed: Routed
    out: Any  # (rows, D)
    pairs: Any  # see Opened


class Expertise:
    """Dispatches a rank's tokens to experts, does its own experts' work, takes outputs back."""

    def __init__(self, terms: Terms, job: Job, team: Team, sparing: Collection[int]) -> None:
        place = Place(terms, job, team)
        self.place = place
        self.freight = _freight(place)
        self.mine = terms.placement.of(team.place, place.experts, team.size)
        self.kept = terms.skip.kept(job)
        self.memory = terms.memory(terms.period)
        self.sparing = sparing  # layers that leave slots out in some steps

    def route(self, step: int, block: ExpertBlock, gate: tuple[Any, Any], *, half: bool) -> Steps:
        """Where a layer's tokens go, given the gate's scores and choice; all ranks' counts."""
        scores, chosen = gate
        kept = self.kept if half else None
        sent = (yield Compute(pick, chosen, kept)) if half else chosen
        routed = Routed(step, block.layer, scores, chosen, kept)
        return (yield from self.freight.sort(routed, sent))

    def dispatch(self, rows: Any, routed: Routed) -> Steps:
        """Send tokens (N, D) to their experts."""
        return (yield from self.freight.dispatch(rows, routed))

    def taken(self, coming: Coming) -> Steps:
        """The same transfer, over."""
        if coming.ticket is None:
            return coming
        return coming._replace(ticket=None, parts=(yield Wait(coming.ticket)))

    def serve(self, block: ExpertBlock, dispatched: Coming, like: Any) -> Steps:
        """The outputs of this rank's experts for the tokens that came."""
        opened = yield from self.freight.opened(dispatched, like)
        mine = self.place.of_mine(dispatched.routed.loads)
        out = yield Compute(block.serve, self.mine, mine, *opened.parts)
        return Served(dispatched.routed, out, opened.pairs)

    def combine(self, served: Served) -> Steps:
        """Send outputs back to where the tokens came from."""
        return (yield from self.freight.combine(served.out, served.routed, served.pairs))

    def arrive(self, combined: Coming, like: Any) -> Steps:
        """Outputs of all slots, those that were not sent as they were laid by."""
        routed, memory = combined.routed, self.memory
        out = yield from self.freight.returned(combined, like)
        if routed.kept is None:
            arrived = Arrived(routed, out, routed.chosen, (routed.step,) * 2)
            if routed.layer in self.sparing:
                laid_by = yield Compute(other, arrived.out, self.kept)
                experts = yield Compute(other, arrived.experts, self.kept)
                memory.put(routed.layer, routed.step, (laid_by, experts))
            return arrived
        old, experts, step = memory.take(routed.layer)
        sent = yield Compute(pick, routed.chosen, routed.kept)
        mended = yield Compute(mend, out.squeeze(1), old, routed.kept)
        experts = yield Compute(mend, sent, experts, routed.kept)
        return Arrived(routed, mended, experts, (routed.step, step))

    def forget(self) -> None:
        """A synchronous step begins anew; what is still under way will be of no use."""
        self.memory.clear()
        self.freight.forget()


def _freight(place: Place) -> Freight:
    terms = place.terms
    if terms.capacity != UNBOUNDED:
        return Fixed(place)
    if terms.codec is None or place.team.size == 1:  # which codes nothing for itself
        return Whole(place)
    return Coded(place, terms.codec)
