"""Rows for other ranks, coded against what the same pairs of token and expert last were.

Tokens change little from step to step, and most want the experts that they wanted; but where a
row stands changes with every token that wants another. So each end keeps rows by their pairs:
those that the other end knows travel as residuals, others whole.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch

from simnet.codecs.bits import packed_bytes
from simnet.codecs.rule import Rule
from simnet.models.mixture import permuted
from simnet.ops import AllGather, AllToAll, Compute, Wait
from simnet.schedules.base import Steps
from simnet.schedules.expert.bases import Bases, Plan
from simnet.schedules.expert.freight import Coming, Opened, Place
from simnet.schedules.expert.pairs import as_bits, numbered, of_bits
from simnet.schedules.expert.parcel import Parcel, Travel
from simnet.schedules.expert.placement import by_member
from simnet.schedules.expert.slots import Routed, pick, sort, whole


class Coded:
    """See Freight; rows go as bytes.

    Before the rows of a dispatch goes a bit for each pair there might be, so that the receiver
    knows whose they are. Of outputs it knows. Where all begins anew nothing is known.
    """

    def __init__(self, place: Place, rule: Rule) -> None:
        self.place = place
        self.rule = rule
        self.head = packed_bytes(place.tokens * place.each, 1)
        self.ends: dict[tuple[str, int], Bases] = {}
        self.planned: Plan | None = None  # of the dispatch to come

    def sort(self, routed: Routed, sent: Any) -> Steps:
        """See Freight; ranks tell each other how many of their rows are known, too."""
        place, end = self.place, self._end("dispatched", routed)
        order, counts = yield Compute(sort, sent, place.places)
        routed = routed._replace(order=order)
        pairs = yield Compute(numbered, sent, order, place.places)
        plan = self.planned = yield from end.plan(pairs)
        told = yield Compute(torch.stack, (counts, plan.known))
        gathered = yield Wait((yield AllGather("counts", told, place.groups[0])))
        if gathered[0].is_meta:
            routed = routed._replace(loads=place.foretold(routed))
            return routed._replace(known=place.foretold_known(routed, end.sent))
        loads, known = torch.stack(list(gathered)).unbind(1)
        return routed._replace(loads=loads.tolist(), known=known.tolist())

    def dispatch(self, rows: Any, routed: Routed) -> Steps:
        """See Freight."""
        place, plan, end = self.place, self.planned, self._end("dispatched", routed)
        assert plan is not None  # by `sort`
        sent = yield Compute(permuted, rows, routed.order, routed.top)
        heads = yield Compute(as_bits, plan.pairs, place.tokens, place.experts, place.team.size)
        travel = _travel(plan, place.out(routed.known), place.out(routed.loads), routed)
        parcel = self._parcel("dispatch", routed)
        message = yield from end.pack(parcel, sent, travel, heads)
        yield from end.expect(plan, travel, routed.step)
        sends = parcel.sizes(travel.known, travel.rows)
        takes = parcel.sizes(place.back(routed.known), place.back(routed.loads))
        ticket = yield AllToAll("dispatch", message, place.groups[1], sends=sends, takes=takes)
        return Coming(routed, ticket)

    def opened(self, dispatched: Coming, like: Any) -> Steps:
        """See Freight."""
        del like
        place, routed, parts = self.place, dispatched.routed, dispatched.parts
        known, takes = place.back(routed.known), place.back(routed.loads)
        pairs = yield Compute(of_bits, parts, place.tokens, place.each, sum(takes))
        end = self._end("served", routed)
        plan = yield from end.plan(pairs)
        travel = _travel(plan, known, takes, routed)
        rows = yield from end.unpack(self._parcel("dispatch", routed), parts, travel)
        yield from end.expect(plan, travel, routed.step)
        return Opened(list(rows.split(takes)), pairs)

    def combine(self, out: Any, routed: Routed, pairs: Any) -> Steps:
        """See Freight."""
        parcel = self._parcel("combine", routed)
        there = yield from self._outputs(pairs, routed, "outputs", self.place.back)
        message = yield from there.end.pack(parcel, out, there.travel, None)
        yield from there.end.expect(there.plan, there.travel, routed.step)
        sent = (
            (yield Compute(pick, routed.chosen, routed.kept)) if routed.is_half else routed.chosen
        )
        own = yield Compute(numbered, sent, routed.order, self.place.places)
        here = yield from self._outputs(own, routed, "returned", self.place.out)
        yield from here.end.expect(here.plan, here.travel, routed.step)
        sends, takes = (parcel.sizes(x.travel.known, x.travel.rows) for x in (there, here))
        group = self.place.groups[2]
        ticket = yield AllToAll("combine", message, group, sends=sends, takes=takes)
        return Coming(routed, ticket, travel=here.travel)

    def _outputs(self, pairs: Any, routed: Routed, name: str, side: _Side) -> Steps:
        """How outputs of these pairs will travel, which both ends find out for themselves."""
        place, end = self.place, self._end(name, routed)
        plan = yield from end.plan(pairs)
        if plan.known.is_meta:
            known = side(place.foretold_known(routed, end.sent))
        else:
            known = by_member(plan.known.tolist(), place.team.size)
        return _Outputs(end, plan, _travel(plan, known, side(routed.loads), routed))

    def returned(self, combined: Coming, like: Any) -> Steps:
        """See Freight."""
        del like
        routed, parcel = combined.routed, self._parcel("combine", combined.routed)
        end = self._end("returned", routed)
        out = yield from end.unpack(parcel, combined.parts, combined.travel)
        return (yield Compute(whole, [out], routed.order, routed.top))

    def forget(self) -> None:
        """See Freight."""
        self.ends.clear()

    def _end(self, name: str, routed: Routed) -> Bases:
        place = self.place
        key = name, routed.layer
        if key not in self.ends:
            sizes = place.experts, place.tokens, place.team.size
            self.ends[key] = Bases(place.team.place, *sizes)
        return self.ends[key]

    def _parcel(self, tensor: str, routed: Routed) -> Parcel:
        place = self.place
        coder = self.rule(tensor, routed.layer, routed.step)
        return place.terms.parcel(place.job, coder, head=self.head if tensor == "dispatch" else 0)


#: Of rows by member and place, those that one rank sends to each other, or takes of it.
_Side = Callable[[Sequence[Sequence[int]]], list[int]]


class _Outputs(NamedTuple):
    end: Bases
    plan: Plan
    travel: Travel


def _travel(plan: Plan, known: list[int], rows: list[int], routed: Routed) -> Travel:
    return Travel(plan.order, plan.at, known, rows, routed.is_half)
