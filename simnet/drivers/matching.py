"""Which rank's transfer belongs to which other's: matched in order, per communicator."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import simpy

from simnet.drivers.log import where
from simnet.network.network import Exchange, Line, Traffic
from simnet.ops import AllToAll, Collective, Rooted, Transfer
from traces.operation import Operation


@dataclass(slots=True, eq=False)
class Ticket:
    """A transfer that a rank has asked for."""

    op: Transfer
    row: Operation
    lanes: list[Lane] = field(default_factory=list)
    pending: int = 0  # lanes that are not through with it
    value: Any = None
    complete: simpy.Event | None = None  # made when a rank waits for it

    @property
    def rank(self) -> int:
        """Who asked."""
        return self.row.rank

    @property
    def seq(self) -> int:
        """Its row in the rank's trace."""
        return self.row.seq

    def part_done(self, now_s: float) -> None:
        """One lane is through with it; the last one completes it."""
        self.pending -= 1
        if self.pending == 0:
            self.row.end_s = now_s
            if self.complete is not None:
                self.complete.succeed()

    def __str__(self) -> str:
        return f"{self.op.kind} {self.op.name!r} ({where(self.row.step, self.row.layer)})"


#: Raises ScheduleError unless these, of all members of a line and in its order, belong together.
Check = Callable[[Sequence[Ticket]], None]


class Spell:
    """When a rank has had transfers under way, up to now."""

    def __init__(self, env: simpy.Environment) -> None:
        self.env = env
        self.transfers = 0
        self.began_s = 0.0  # the latest spell
        self.total_s = 0.0  # of those before

    def begin(self) -> None:
        """One more transfer."""
        if not self.transfers:
            self.began_s = self.env.now
        self.transfers += 1

    def end(self) -> None:
        """One less."""
        self.transfers -= 1
        if not self.transfers:
            self.total_s += self.env.now - self.began_s

    @property
    def so_far_s(self) -> float:
        """How long in all."""
        return self.total_s + (self.env.now - self.began_s if self.transfers else 0.0)


class Lane:
    """A line's transfers: each starts when all its members have joined and the last one ended."""

    def __init__(
        self,
        line: Line,
        env: simpy.Environment,
        traffic: Traffic,
        transferring: Sequence[Spell],
        check: Check,
    ) -> None:
        self.line = line
        self.env = env
        self.traffic = traffic
        self.check = check
        self.transferring = [transferring[rank] for rank in line.ranks]
        self.waiting: dict[int, deque[Ticket]] = {rank: deque() for rank in line.ranks}
        self.carried = 0
        self.busy = 0  # members whose part of the current exchange is not complete
        self.free_s = 0.0  # when the last exchange ended

    def join(self, ticket: Ticket) -> None:
        """A rank has reached its next transfer on this line."""
        self.waiting[ticket.rank].append(ticket)
        ticket.lanes.append(self)
        ticket.pending += 1
        self._start_next()

    def missing(self, ticket: Ticket) -> list[int]:
        """The ranks that have not joined where this ticket waits; none once it was carried."""
        if ticket not in self.waiting[ticket.rank]:
            return []
        place = self.waiting[ticket.rank].index(ticket)
        return [rank for rank, queue in self.waiting.items() if len(queue) <= place]

    def _start_next(self) -> None:
        if self.busy or not all(self.waiting.values()):
            return
        tickets = [self.waiting[rank].popleft() for rank in self.line.ranks]
        self.check(tickets)
        _deliver(tickets)
        first = tickets[0]
        kind = first.op.kind if isinstance(first.op, Collective) else "send"
        nbytes = first.op.value.nbytes
        since_s = tuple(max(self.free_s, ticket.row.start_s) for ticket in tickets)
        exchange = Exchange(kind, self.line.ranks, nbytes, self.line, self.carried, since_s)
        if isinstance(first.op, AllToAll) and first.op.sends is not None:
            ops: list[Any] = [ticket.op for ticket in tickets]
            sizes = tuple(op.parts for op in ops)
            exchange = exchange._replace(nbytes=max(map(sum, sizes)), sizes=sizes)
        elif isinstance(first.op, Rooted):
            exchange = exchange._replace(root=first.op.root)
        self.carried += 1
        self.busy = len(tickets)
        done = self.traffic.carry(exchange)
        for ticket, event, spell in zip(tickets, done, self.transferring, strict=True):
            assert event.callbacks is not None, "a network returned an event of the past"
            event.callbacks.append(partial(self._part_done, ticket, spell))
            spell.begin()

    def _part_done(self, ticket: Ticket, spell: Spell, _: simpy.Event) -> None:
        spell.end()
        ticket.part_done(self.env.now)
        self.busy -= 1
        self.free_s = self.env.now
        self._start_next()


def _deliver(tickets: Sequence[Ticket]) -> None:
    op = tickets[0].op
    if isinstance(op, Collective):
        results = op.deliver([ticket.op for ticket in tickets])
        for ticket, result in zip(tickets, results, strict=True):
            ticket.value = result
    else:
        sender, receiver = tickets
        receiver.value = sender.op.value
