"""From a graph and the structure of a network to a tape: what to add and compare, in which order.

It has no times in it either, so that one tape serves all networks of that structure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from simnet.lowering import machine
from simnet.lowering.graph import COMPUTE, MOVE, WAIT
from simnet.lowering.order import ROW
from simnet.lowering.tracks import Tracks
from traces.units import bits

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from simnet.lowering.batch import Batch
    from simnet.lowering.graph import Graph
    from simnet.lowering.hosts import Pauses
    from simnet.lowering.matching import Exchange, Load
    from simnet.network.collectives.flow import Flow, Round

#: Rows that instructions use meanwhile (see machine.py), then some that nobody reads.
_START, _SENT, _ARRIVED, _FIRST = 4, 5, 6, 7
#: Of each rank: its clock, what it has waited, what it has computed (where that is slowed down),
#: the end of its latest compute that went ahead, and its clock at its last compute or wait.
_OF_RANK, _EXPOSED, _COMPUTED, _AHEAD, _TOTAL = 5, 1, 2, 3, 4


@dataclass(frozen=True, slots=True, eq=False)
class Tape:
    """Instructions (see machine.py), and what they refer to."""

    code: NDArray[np.int64]
    numbers: NDArray[np.float64]
    works: NDArray[np.float64]  # how often each call is in each piece of computing, (S, C)
    rows: int
    ranks: int
    slowed: bool  # whether transfers under way slow computes down

    @property
    def totals(self) -> slice:
        """Rows of when each rank ends its last compute or wait."""
        return self._of_ranks(_TOTAL)

    @property
    def exposed(self) -> slice:
        """Rows of how long each rank waits."""
        return self._of_ranks(_EXPOSED)

    @property
    def computed(self) -> slice:
        """Rows of what each rank computes, of what is not known beforehand."""
        return self._of_ranks(_COMPUTED)

    def _of_ranks(self, what: int) -> slice:
        return slice(_FIRST + what, _FIRST + _OF_RANK * self.ranks, _OF_RANK)


class Recorder:
    """Goes through a graph in order and writes down what there is to do.

    `rounds` are what each load becomes on the batch's networks; `pauses` what operations take of a
    rank's host; `slowed`: transfers under way slow computes down.
    """

    def __init__(
        self,
        graph: Graph,
        batch: Batch,
        rounds: Mapping[Load, list[Round]],
        pauses: Pauses,
        *,
        slowed: bool,
    ) -> None:
        self.graph = graph
        self.batch = batch
        self.rounds = rounds
        self.pauses = pauses
        self.order = graph.order(slowed=slowed)
        self.code: list[int] = []
        self.numbers: dict[float, int] = {}
        self.works: dict[tuple[int, ...], int] = {}
        self.rows = _FIRST + _OF_RANK * graph.ranks
        self.free: list[int] = []
        self.computing: list[list[int]] = [[] for _ in range(graph.ranks)]  # calls to be added up
        self.posted: dict[int, int] = {}  # of a transfer's row: the row of when it was asked for
        self.left: dict[int, int] = {}  # of a transfer's row: exchanges that are not carried yet
        self.ends: dict[int, list[int]] = {}  # of a transfer's row: rows of its parts' ends
        self.lines: dict[int, int] = {}
        self.sides: dict[str, int] = {}
        self.waited = _waited(graph)
        self.tracks = Tracks(graph, self.order, self._new) if slowed else None
        self.rank_of: list[int] = graph.rank_of.tolist()
        self.kinds: list[int] = graph.kind.tolist()
        self.whats: list[int] = graph.what.tolist()
        self.firsts: list[int] = graph.first.tolist()
        self.last = _last(graph)

    def tape(self) -> Tape:
        """All of it."""
        for event, number in self.order.events:
            if event == ROW:
                self._operation(number)
            else:
                self._carry(number)
        for rank in range(self.graph.ranks):
            self._flush(rank)
            if not self.pauses:  # then nothing else moves the clock
                self._note_total(rank)
        works = np.zeros((len(self.works), len(self.graph.calls)))
        for calls, number in self.works.items():
            np.add.at(works[number], list(calls), 1)
        numbers, code = np.array(list(self.numbers), np.float64), np.array(self.code, np.int64)
        slowed = self.tracks is not None
        return Tape(code, numbers, works, self.rows, self.graph.ranks, slowed)

    def _operation(self, row: int) -> None:
        rank, kind = self.rank_of[row], self.kinds[row]
        if self.pauses and row > self.firsts[rank]:
            self._flush(rank)
            self._lag(_clock(rank), self.pauses.before(posted=self.kinds[row - 1] == MOVE))
        if kind == COMPUTE:
            self._compute(rank, row)
        else:
            self._flush(rank)
            if kind == WAIT:
                self._wait(rank, self.firsts[rank] + self.whats[row])
            elif row in self.graph.parts:
                self.posted[row] = self._take()
                self.left[row] = len(self.graph.parts[row])
                self._emit(machine.COPY, self.posted[row], _clock(rank))
        if self.pauses and row == self.last[rank]:
            self._flush(rank)
            self._note_total(rank)

    def _note_total(self, rank: int) -> None:
        self._emit(machine.COPY, _clock(rank) + _TOTAL, _clock(rank))

    def _compute(self, rank: int, row: int) -> None:
        self.computing[rank].append(self.whats[row])
        if self.pauses.late_s:
            self._flush(rank)
            for clock in (_clock(rank), _clock(rank) + _COMPUTED):
                self._lag(clock, self.pauses.late_s)
        if row in self.order.ahead:
            self._flush(rank)
            self._emit(machine.COPY, _clock(rank) + _AHEAD, _clock(rank))

    def _flush(self, rank: int) -> None:
        """Computes of a rank, one after the other, are one."""
        calls = self.computing[rank]
        if not calls:
            return
        work = self.works.setdefault(tuple(calls), len(self.works))
        calls.clear()
        if self.tracks is None:
            self._emit(machine.RUN, _clock(rank), work)
        else:
            tracks = self.tracks.of(rank)
            self._emit(machine.SLOWED, _clock(rank), work, len(tracks) // 2, *tracks)

    def _wait(self, rank: int, row: int) -> None:
        """For the transfer of this row; another time for the same takes none."""
        ends = self.ends.pop(row, None)
        if ends is None:
            return
        wake = self._number(self.pauses.wake_s)
        self._emit(machine.AWAIT, _clock(rank), ends[0], ends[-1], wake)
        if self.tracks is None:
            self.free += ends
        else:
            self.tracks.retire(rank, row)

    def _carry(self, number: int) -> None:
        exchange = self.graph.exchanges[number]
        if exchange.line not in self.lines:
            self.lines[exchange.line] = self._new(1)
        if exchange.load.kind == "send":
            self._send(number, exchange)
        else:
            self._collective(number, exchange)
        for row in exchange.rows:
            self.left[row] -= 1
            if not self.left[row]:
                self.free.append(self.posted.pop(row))

    def _send(self, number: int, exchange: Exchange) -> None:
        [flows] = self.rounds[exchange.load]
        [flow] = flows
        way = self.batch.way(flow.src, flow.dst)
        sides = [self._side(name) for name in way.sides] if flow.nbytes else []
        sender, receiver = (self.posted[row] for row in exchange.rows)
        slots = self._slots(number, exchange)
        (start, sent), (_, arrived) = slots
        self._emit(
            *(machine.SEND, way.terms, self._number(bits(flow.nbytes)), sender, receiver),
            *(self.lines[exchange.line], sent, arrived, start, len(sides), *sides),
        )
        self._begun(number, start, [slot[0] for slot in slots[1:]])

    def _collective(self, number: int, exchange: Exchange) -> None:
        """Its members enter a round when their flows of the last one have ended."""
        line, start = self.lines[exchange.line], self._take()
        self._emit(machine.COPY, start, line)
        since = {}
        for rank, row in zip(exchange.members, exchange.rows, strict=True):
            since[rank] = self._take()
            self._emit(machine.LATEST, since[rank], line, self.posted[row])
            self._emit(machine.LATEST, start, start, self.posted[row])
        slots = self._slots(number, exchange)
        self._begun(number, start, [slot[0] for slot in slots])
        entered = dict.fromkeys(exchange.members, start)
        for flows in self.rounds[exchange.load]:
            ended = self._round(flows, entered, since)
            done = set(entered.values()) | set(since.values())
            entered |= ended
            since |= ended
            self.free += done - set(entered.values()) - set(since.values()) - {start}
        self._emit(machine.COPY, line, start)
        for rank, (_, end) in zip(exchange.members, slots, strict=True):
            self._emit(machine.COPY, end, entered[rank])
            self._emit(machine.LATEST, line, line, entered[rank])
        self.free += {start, *entered.values(), *since.values()}

    def _round(
        self, flows: list[Flow], entered: dict[int, int], since: dict[int, int]
    ) -> dict[int, int]:
        """Flows at the same time; gives the rows of when each rank is through."""
        ended: dict[int, int] = {}
        for flow in flows:
            first = (flow.src not in ended) | (flow.dst not in ended) << 1
            for rank in (flow.src, flow.dst):
                if rank not in ended:
                    ended[rank] = self._take()
            way = self.batch.way(flow.src, flow.dst)
            sides = [self._side(name) for name in way.sides] if flow.nbytes else []
            self._emit(
                *(machine.FLOW, way.terms, self._number(bits(flow.nbytes))),
                *(entered[flow.src], entered[flow.dst], since[flow.dst]),
                *(ended[flow.src], ended[flow.dst], first, len(sides), *sides),
            )
        return ended

    def _slots(self, number: int, exchange: Exchange) -> list[tuple[int, int]]:
        """Rows for each member, of when its part begins and ends; shared where nobody looks."""
        slots: list[tuple[int, int]] = []
        for place, (rank, row) in enumerate(zip(exchange.members, exchange.rows, strict=True)):
            if self.tracks is not None:
                slots.append(self.tracks.push(rank, number))
            elif row in self.waited:
                slots.append((_START, self._take()))
            else:
                slots.append((_START, _ARRIVED if place else _SENT))
            if row in self.waited:
                self.ends.setdefault(row, []).append(slots[-1][1])
        return slots

    def _begun(self, number: int, start: int, copies: list[int]) -> None:
        """Keep when an exchange began where computes look for it; none of these may be over."""
        if self.tracks is None:
            return
        for row in copies:
            self._emit(machine.COPY, row, start)
        for rank in self.order.behind.get(number, ()):
            self._emit(machine.AFTER, start, _clock(rank) + _AHEAD)

    def _side(self, name: str) -> int:
        if name not in self.sides:
            self.sides[name] = self._new(1)
        return self.sides[name]

    def _lag(self, row: int, seconds: float) -> None:
        if seconds:
            self._emit(machine.LAG, row, self._number(seconds))

    def _number(self, value: float) -> int:
        return self.numbers.setdefault(float(value), len(self.numbers))

    def _new(self, count: int) -> int:
        """The first of so many rows that nothing has used: they begin at 0."""
        self.rows += count
        return self.rows - count

    def _take(self) -> int:
        """A row for a time."""
        return self.free.pop() if self.free else self._new(1)

    def _emit(self, *instruction: int) -> None:
        self.code += instruction


def _clock(rank: int) -> int:
    return _FIRST + _OF_RANK * rank


def _waited(graph: Graph) -> set[int]:
    """Rows of the transfers that are waited for."""
    waits = np.flatnonzero(graph.kind == WAIT)
    return set((graph.first[graph.rank_of[waits]] + graph.what[waits]).tolist())


def _last(graph: Graph) -> list[int]:
    """The row of each rank's last compute or wait; -1 where there is none."""
    rows = np.flatnonzero(graph.kind != MOVE)
    last = np.full(graph.ranks, -1)
    last[graph.rank_of[rows]] = rows  # of several the last one stays
    return [int(row) for row in last]
