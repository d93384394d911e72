"""Where a tape keeps when a rank's transfers are under way, for the computes that they slow down.

A *track* is a rank's transfers on one line, one after the other: rows of beginnings and ends in
turn, in a ring, as many as there may be between a transfer's being carried and the rank's having
waited for it, after which it is over for certain.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from simnet.lowering.graph import WAIT
from simnet.lowering.order import ROW

if TYPE_CHECKING:
    from simnet.lowering.graph import Graph
    from simnet.lowering.order import Order


class Slot(NamedTuple):
    """The rows of when a transfer begins and ends at a rank."""

    begins: int
    ends: int


@dataclass(slots=True)
class _Track:
    first_row: int = 0
    capacity: int = 0
    pushed: int = 0
    under_way: deque[int] = field(default_factory=deque)  # exchanges, in their order

    def push(self, exchange: int) -> Slot:
        """Room for one more."""
        row = self.first_row + 2 * (self.pushed % max(1, self.capacity))
        self.pushed += 1
        self.under_way.append(exchange)
        return Slot(row, row + 1)

    def retire(self, exchange: int) -> None:
        """This one is over, and so are those before it."""
        while self.under_way and self.under_way[0] <= exchange:
            self.under_way.popleft()

    def rows(self) -> Iterator[int]:
        """First and last row of each stretch of those that may be under way."""
        count = len(self.under_way)
        if not count:
            return
        first = (self.pushed - count) % self.capacity
        straight = min(count, self.capacity - first)
        yield from (self.first_row + 2 * first, self.first_row + 2 * (first + straight - 1))
        if straight < count:
            yield from (self.first_row, self.first_row + 2 * (count - straight - 1))


class Tracks:
    """All tracks of a graph that is worked through in this order; `take` gives rows in a row."""

    def __init__(self, graph: Graph, order: Order, take: Callable[[int], int]) -> None:
        self._exchanges = graph.exchanges
        self._parts = graph.parts
        self._tracks: dict[int, dict[int, _Track]] = {rank: {} for rank in range(graph.ranks)}
        self._measure(graph, order)
        for tracks in self._tracks.values():
            for track in tracks.values():
                track.pushed, track.under_way = 0, deque()
                track.first_row = take(2 * track.capacity)

    def _measure(self, graph: Graph, order: Order) -> None:
        """How many transfers of each track may be under way at once."""
        first, kind, what = graph.first.tolist(), graph.kind.tolist(), graph.what.tolist()
        rank_of = graph.rank_of.tolist()
        for event, number in order.events:
            if event != ROW:
                for rank in self._exchanges[number].members:
                    self.push(rank, number)
                    track = self._tracks[rank][self._exchanges[number].line]
                    track.capacity = max(track.capacity, len(track.under_way))
            elif kind[number] == WAIT:
                rank = rank_of[number]
                self.retire(rank, first[rank] + what[number])

    def push(self, rank: int, exchange: int) -> Slot:
        """A rank's part of an exchange has been carried."""
        line = self._exchanges[exchange].line
        return self._tracks[rank].setdefault(line, _Track()).push(exchange)

    def retire(self, rank: int, row: int) -> None:
        """A rank has waited for the transfer of this row."""
        for exchange in self._parts.get(row, ()):
            self._tracks[rank][self._exchanges[exchange].line].retire(exchange)

    def of(self, rank: int) -> list[int]:
        """First and last row of the beginnings of each stretch that may be under way."""
        return [row for track in self._tracks[rank].values() for row in track.rows()]
