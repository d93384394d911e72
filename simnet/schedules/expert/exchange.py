"""One rank's exchange of tokens with the ranks that have their experts."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any, NamedTuple

import torch

from simnet.job import Job
from simnet.models.experts import ExpertBlock
from simnet.models.mixture import permuted
from simnet.ops import AllGather, AllToAll, Compute, Group, Ticket, Wait
from simnet.schedules.base import Steps, Team
from simnet.schedules.expert.placement import by_member
from simnet.schedules.expert.rows import AS_IT_IS, restored
from simnet.schedules.expert.slots import Arrived, Routed, mend, other, pick, sort, whole
from simnet.schedules.expert.terms import Terms


class Coming(NamedTuple):
    """A transfer of all ranks' tokens, under way or over."""

    routed: Routed
    ticket: Ticket | None  # None where it is over
    parts: Any = None  # what it brought, of each member


class Expertise:
    """Dispatches a rank's tokens to experts, does its own experts' work, takes outputs back."""

    def __init__(self, terms: Terms, job: Job, team: Team, sparing: Collection[int]) -> None:
        self.terms = terms
        self.job = job
        self.team = team
        experts = job.preset.experts
        assert experts is not None  # `check` has seen to it
        self.top, count = experts.top, experts.count
        self.mine = terms.placement.of(team.place, count, team.size)
        order = terms.placement.order(count, team.size)
        self.places = torch.tensor(order, device=job.device).argsort()
        self.kept = terms.skip.kept(job)
        self.memory = terms.memory(terms.period)
        self.sparing = sparing  # layers that leave slots out in some steps
        #: Of the token counts, the dispatch and the combine: on one communicator each waits for
        #: those before it.
        names = [team.group.name] * 3 if terms.communicators == 1 else ["counts", "dispatch", "out"]
        self.groups = [Group(team.group.ranks, name) for name in names]

    def route(self, step: int, block: ExpertBlock, gate: tuple[Any, Any], *, half: bool) -> Steps:
        """Where a layer's tokens go, given the gate's scores and choice; all ranks' counts."""
        scores, chosen = gate
        kept = self.kept if half else None
        sent = (yield Compute(pick, chosen, kept)) if half else chosen
        order, counts = yield Compute(sort, sent, self.places)
        gathered = yield Wait((yield AllGather("counts", counts, self.groups[0])))
        loads = self._loads(gathered, len(order), step, block.layer)
        return Routed(step, block.layer, scores, chosen, order, loads, kept)

    def dispatch(self, rows: Any, routed: Routed) -> Steps:
        """Send tokens (N, D) to their experts."""
        top = 1 if routed.kept is not None else self.top
        sent = yield Compute(permuted, rows, routed.order, top)
        sent = yield from self._shrunk(sent)
        sends, takes = self._sizes(routed.loads)
        ticket = yield AllToAll("dispatch", sent, self.groups[1], sends=sends, takes=takes)
        return Coming(routed, ticket)

    def taken(self, coming: Coming) -> Steps:
        """The same transfer, over."""
        if coming.ticket is None:
            return coming
        return Coming(coming.routed, None, (yield Wait(coming.ticket)))

    def serve(self, block: ExpertBlock, dispatched: Coming, like: Any) -> Steps:
        """The outputs of this rank's experts for the tokens that came."""
        parts = yield from self._restored(dispatched.parts, like)
        mine = self._of_mine(dispatched.routed.loads)
        return (yield Compute(block.serve, self.mine, mine, *parts))

    def combine(self, out: Any, routed: Routed) -> Steps:
        """Send outputs back to where the tokens came from."""
        out = yield from self._shrunk(out)
        takes, sends = self._sizes(routed.loads)
        ticket = yield AllToAll("combine", out, self.groups[2], sends=sends, takes=takes)
        return Coming(routed, ticket)

    def arrive(self, combined: Coming, like: Any) -> Steps:
        """Outputs of all slots, those that were not sent as they were laid by."""
        routed, memory = combined.routed, self.memory
        parts = yield from self._restored(combined.parts, like)
        if routed.kept is None:
            out = yield Compute(whole, parts, routed.order, self.top)
            arrived = Arrived(routed, out, routed.chosen, (routed.step,) * 2)
            if routed.layer in self.sparing:
                laid_by = yield Compute(other, arrived.out, self.kept)
                experts = yield Compute(other, arrived.experts, self.kept)
                memory.put(routed.layer, routed.step, (laid_by, experts))
            return arrived
        out, experts, step = memory.take(routed.layer)
        fresh = yield Compute(whole, parts, routed.order, 1)
        sent = yield Compute(pick, routed.chosen, routed.kept)
        mended = yield Compute(mend, fresh.squeeze(1), out, routed.kept)
        experts = yield Compute(mend, sent, experts, routed.kept)
        return Arrived(routed, mended, experts, (routed.step, step))

    def _shrunk(self, rows: Any) -> Steps:
        precision = self.terms.wire
        return rows if precision == AS_IT_IS else (yield Compute(precision, rows))

    def _restored(self, parts: list[Any], like: Any) -> Steps:
        return parts if self.terms.wire == AS_IT_IS else (yield Compute(restored, parts, like))

    def _loads(self, gathered: Sequence[Any], slots: int, step: int, layer: int) -> list[list[int]]:
        """Each member's slots for each place, as all ranks read them from the counts."""
        if not gathered[0].is_meta:
            loads: list[list[int]] = torch.stack(list(gathered)).tolist()
            return loads
        return self.terms.loads(self.job, self.team.size, slots, step, layer)

    def _of_mine(self, loads: list[list[int]]) -> list[list[int]]:
        each = len(self.mine)
        begin = self.team.place * each
        return [theirs[begin : begin + each] for theirs in loads]

    def _sizes(self, loads: list[list[int]]) -> tuple[list[int], list[int]]:
        """Rows that go to each member's experts, and rows that come to mine."""
        sends = by_member(loads[self.team.place], self.team.size)
        return sends, [sum(theirs) for theirs in self._of_mine(loads)]
