"""An order in which a graph can be worked through: each thing after all that decides when it is.

It depends on no time, so that one order serves any number of networks. Where transfers slow
computes down, a compute stands after the exchanges that may be under way meanwhile; where ranks
wait for each other so that this cannot be, some computes go first, and whoever evaluates has to
check that no such exchange began before they ended.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from simnet.lowering.graph import COMPUTE, KINDS, WAIT
from traces.errors import ScheduleError

if TYPE_CHECKING:
    from simnet.lowering.graph import Graph
    from simnet.lowering.matching import Exchange

#: A rank's next operation, by its row; an exchange, by its number.
ROW, CARRY = range(2)


@dataclass(frozen=True, slots=True)
class Order:
    """(ROW, row) and (CARRY, exchange), one after the other.

    `ahead`: computes (rows) that stand before an exchange that their rank had asked for already;
    `behind`: these exchanges, each with the ranks that have computed since.
    """

    events: list[tuple[int, int]]
    ahead: set[int] = field(default_factory=set)
    behind: dict[int, list[int]] = field(default_factory=dict)


def arrange(graph: Graph, *, slowed: bool) -> Order:
    """An order for this graph; raises ScheduleError where no rank can go on."""
    work = _Work(graph, slowed=slowed)
    work.go()
    return work.order


class _Work:
    """Ranks go as far as they can, in turn."""

    def __init__(self, graph: Graph, *, slowed: bool) -> None:
        self.graph = graph
        self.slowed = slowed
        self.order = Order([])
        self.exchanges = graph.exchanges
        self.parts = graph.parts
        self.after = [-1] * len(self.exchanges)  # on the line
        self.missing = [len(exchange.rows) for exchange in self.exchanges]
        self.carried = [False] * len(self.exchanges)
        for number, exchange in enumerate(self.exchanges):
            if exchange.before >= 0:
                self.after[exchange.before] = number
        self.pending = {row: len(numbers) for row, numbers in self.parts.items()}
        self.next: list[int] = graph.first[:-1].tolist()
        self.asked = [0] * graph.ranks  # parts of exchanges that are not carried yet
        self.computed: list[int] = [-1] * graph.ranks  # the latest compute's row
        self.ready = deque(range(graph.ranks))
        self.running = -1  # the rank that goes on by itself
        self.kinds: list[int] = graph.kind.tolist()
        self.whats: list[int] = graph.what.tolist()

    def go(self) -> None:
        """Through all of it."""
        ends = self.graph.first[1:].tolist()
        while True:
            while self.ready:
                self._run(self.ready.popleft(), ends)
            held = [rank for rank, end in enumerate(ends) if self._held(rank, end)]
            if not held:
                break
            first = min(held, key=lambda rank: self.next[rank] - int(self.graph.first[rank]))
            self._step(first)
            self.ready.append(first)
        stuck = [rank for rank, end in enumerate(ends) if self.next[rank] < end]
        if stuck:
            raise ScheduleError(self._deadlock(stuck))

    def _held(self, rank: int, end: int) -> bool:
        """Whether it could compute, but something it has asked for may begin meanwhile."""
        row = self.next[rank]
        return row < end and self.kinds[row] == COMPUTE

    def _run(self, rank: int, ends: list[int]) -> None:
        self.running = rank
        while self.next[rank] < ends[rank]:
            row = self.next[rank]
            kind = self.kinds[row]
            if kind == COMPUTE and self.slowed and self.asked[rank]:
                break
            if kind == WAIT and self.pending.get(self._awaited(rank, row)):
                break
            self._step(rank)
        self.running = -1

    def _awaited(self, rank: int, row: int) -> int:
        return int(self.graph.first[rank]) + self.whats[row]

    def _step(self, rank: int) -> None:
        """A rank's next operation."""
        row = self.next[rank]
        self.next[rank] += 1
        self.order.events.append((ROW, row))
        if self.kinds[row] == COMPUTE:
            self.computed[rank] = row
            if self.asked[rank]:
                self.order.ahead.add(row)
            return
        for number in self.parts.get(row, ()):
            self.missing[number] -= 1
            self.asked[rank] += 1
        for number in self.parts.get(row, ()):
            self._carry(number)

    def _carry(self, number: int) -> None:
        """This exchange if it can begin, and those behind it on its line."""
        while number >= 0 and not self.missing[number]:
            exchange = self.exchanges[number]
            if exchange.before >= 0 and not self.carried[exchange.before]:
                return
            self.order.events.append((CARRY, number))
            self.carried[number] = True
            self._over(number, exchange)
            number = self.after[number]

    def _over(self, number: int, exchange: Exchange) -> None:
        for rank, row in zip(exchange.members, exchange.rows, strict=True):
            self.pending[row] -= 1
            self.asked[rank] -= 1
            if self.slowed and self.computed[rank] > row:
                self.order.behind.setdefault(number, []).append(rank)
            if rank != self.running:
                self.ready.append(rank)

    def _deadlock(self, stuck: list[int]) -> str:
        """Who waits for what."""
        graph = self.graph
        lines = ["deadlock: no rank can go on"]
        for rank in stuck:
            row = self.next[rank]
            awaited = graph.moves[self.whats[self._awaited(rank, row)]]
            lines.append(
                f"rank {rank} {KINDS[self.kinds[row]]}s for {awaited.kind} {awaited.name!r} "
                f"(step {graph.step[row]}, layer {graph.layer[row]})"
            )
        return "\n  ".join(lines)
