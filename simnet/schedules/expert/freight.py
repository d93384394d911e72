"""How a rank's rows go to the ranks that have their experts, and how outputs come back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

import torch

from simnet.job import Job
from simnet.models.mixture import permuted
from simnet.ops import AllGather, AllToAll, Compute, Group, Keep, Ticket, Wait
from simnet.schedules.base import Steps, Team
from simnet.schedules.expert.capacity import emptied, filled, fit
from simnet.schedules.expert.parcel import Sent
from simnet.schedules.expert.placement import by_member
from simnet.schedules.expert.rows import AS_IT_IS, restored
from simnet.schedules.expert.slots import Routed, mend, sort, whole
from simnet.schedules.expert.terms import Terms


class Coming(NamedTuple):
    """A transfer of all ranks' tokens, under way or over."""

    routed: Routed
    ticket: Ticket | None  # None where it is over
    parts: Any = None  # what it brought, of each member
    travel: Any = None  # how it travels, where the receiver can know already


class Opened(NamedTuple):
    """Rows to be served."""

    parts: Any  # of each member
    pairs: Any = None  # whose they are, where that is needed to send them back


class Freight(Protocol):
    """One rank's end of it, for a whole run."""

    def sort(self, routed: Routed, sent: Any) -> Steps:
        """The same with its `order`, `loads` and `known`; `sent` are the slots' experts."""
        ...

    def dispatch(self, rows: Any, routed: Routed) -> Steps:
        """Coming: tokens (N, D), on their way to their experts."""
        ...

    def opened(self, dispatched: Coming, like: Any) -> Steps:
        """Opened: what came to this rank's experts, in the type of `like`."""
        ...

    def combine(self, out: Any, routed: Routed, pairs: Any) -> Steps:
        """Coming: outputs, on their way to where the rows came from."""
        ...

    def returned(self, combined: Coming, like: Any) -> Steps:
        """The outputs of the slots that were sent, (N, k, D), or (N, 1, D) where one was."""
        ...

    def forget(self) -> None:
        """A step in which all begins anew; what is under way will not be looked at."""
        ...


class Place:
    """What every end of it knows: whose it is, where experts are, and the communicators."""

    def __init__(self, terms: Terms, job: Job, team: Team) -> None:
        self.terms = terms
        self.job = job
        self.team = team
        experts = job.preset.experts
        assert experts is not None  # `check` has seen to it
        self.experts = experts.count
        self.each = experts.count // team.size
        self.tokens = job.batch * job.preset.tokens
        order = terms.placement.order(experts.count, team.size)
        self.places = torch.tensor(order, device=job.device).argsort()
        #: Of the token counts, the dispatch and the combine: on one communicator each waits for
        #: those before it.
        names = [team.group.name] * 3 if terms.communicators == 1 else ["counts", "dispatch", "out"]
        self.groups = [Group(team.group.ranks, name) for name in names]

    def of_mine(self, loads: Sequence[Sequence[int]]) -> list[Sequence[int]]:
        """Of each member, what falls to this rank's experts."""
        begin = self.team.place * self.each
        return [theirs[begin : begin + self.each] for theirs in loads]

    def out(self, loads: Sequence[Sequence[int]]) -> list[int]:
        """What goes to each member's experts."""
        return by_member(loads[self.team.place], self.team.size)

    def back(self, loads: Sequence[Sequence[int]]) -> list[int]:
        """What of each member comes to mine."""
        return [sum(theirs) for theirs in self.of_mine(loads)]

    def foretold(self, routed: Routed) -> list[list[int]]:
        """Each member's slots for each place, where there are no values to count."""
        return self.terms.loads(self.job, self.team.size, routed.sent, routed.layer)

    def foretold_known(self, routed: Routed, before: Sequence[Sent]) -> list[list[int]]:
        """How many of these slots the receiver knows, after these exchanges."""
        sent = *before, routed.sent
        return self.terms.known(self.job, routed.loads, routed.layer, sent)


class Whole:
    """Every row as `wire` says, as many as there are: ranks tell each other how many."""

    def __init__(self, place: Place) -> None:
        self.place = place
        self.precision = place.terms.wire

    def sort(self, routed: Routed, sent: Any) -> Steps:
        """See Freight."""
        place = self.place
        order, counts = yield Compute(sort, sent, place.places)
        gathered = yield Wait((yield AllGather("counts", counts, place.groups[0])))
        routed = routed._replace(order=order)
        if gathered[0].is_meta:
            return routed._replace(loads=place.foretold(routed))
        return routed._replace(loads=torch.stack(list(gathered)).tolist())

    def dispatch(self, rows: Any, routed: Routed) -> Steps:
        """See Freight."""
        sent = yield Compute(permuted, rows, routed.order, routed.top)
        sent = yield from self._shrunk(sent)
        sends, takes = self.place.out(routed.loads), self.place.back(routed.loads)
        group = self.place.groups[1]
        ticket = yield AllToAll("dispatch", sent, group, sends=sends, takes=takes)
        return Coming(routed, ticket)

    def opened(self, dispatched: Coming, like: Any) -> Steps:
        """See Freight."""
        return Opened((yield from self._restored(dispatched.parts, like)))

    def combine(self, out: Any, routed: Routed, pairs: Any) -> Steps:
        """See Freight."""
        del pairs
        out = yield from self._shrunk(out)
        takes, sends = self.place.out(routed.loads), self.place.back(routed.loads)
        group = self.place.groups[2]
        ticket = yield AllToAll("combine", out, group, sends=sends, takes=takes)
        return Coming(routed, ticket)

    def returned(self, combined: Coming, like: Any) -> Steps:
        """See Freight."""
        parts = yield from self._restored(combined.parts, like)
        return (yield Compute(whole, parts, combined.routed.order, combined.routed.top))

    def forget(self) -> None:
        """See Freight; nothing is remembered."""

    def _shrunk(self, rows: Any) -> Steps:
        return rows if self.precision == AS_IT_IS else (yield Compute(self.precision, rows))

    def _restored(self, parts: list[Any], like: Any) -> Steps:
        return parts if self.precision == AS_IT_IS else (yield Compute(restored, parts, like))


class Fixed(Whole):
    """As many rows for each expert as it has room for: nobody has to tell how many."""

    def sort(self, routed: Routed, sent: Any) -> Steps:
        """See Freight; what finds no room is kept as an activation, `dropped` (N, k)."""
        place = self.place
        room = place.terms.capacity.rows(sent.numel(), place.experts)
        order, dropped = yield Compute(fit, sent, routed.scores, place.places, room)
        if routed.is_half:
            nothing = torch.zeros_like(dropped)
            dropped = yield Compute(mend, dropped, nothing, routed.kept)
        yield Keep("dropped", dropped.view_as(routed.chosen))
        loads = [[room] * place.experts for _ in range(place.team.size)]
        return routed._replace(order=order, loads=loads)

    def dispatch(self, rows: Any, routed: Routed) -> Steps:
        """See Freight."""
        sent = yield Compute(filled, rows, routed.order, routed.top)
        sent = yield from self._shrunk(sent)
        return Coming(routed, (yield AllToAll("dispatch", sent, self.place.groups[1])))

    def combine(self, out: Any, routed: Routed, pairs: Any) -> Steps:
        """See Freight."""
        del pairs
        out = yield from self._shrunk(out)
        return Coming(routed, (yield AllToAll("combine", out, self.place.groups[2])))

    def returned(self, combined: Coming, like: Any) -> Steps:
        """See Freight."""
        parts = yield from self._restored(combined.parts, like)
        order, top = combined.routed.order, combined.routed.top
        return (yield Compute(emptied, parts, order, self.place.tokens * top, top))
