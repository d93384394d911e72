"""Plays all ranks' programs on one virtual clock (SimPy): who computes, who waits, who is stuck."""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, NamedTuple

import simpy

from simnet.drivers.matching import Lane, Ticket, lines, where
from simnet.network.network import Line, Network
from simnet.ops import (
    AllGather,
    AllReduce,
    AllToAll,
    At,
    Compute,
    Group,
    Keep,
    Lag,
    Op,
    Program,
    Recv,
    Send,
    Shift,
    Transfer,
    Wait,
    wire_bytes,
)
from simnet.shapes import describe_shape
from traces.errors import ScheduleError, ThinwireError
from traces.operation import Operation

Handler = Generator[simpy.Event, Any, Any]


class Work(NamedTuple):
    """What a Compute came to."""

    value: Any
    name: str
    shape: str
    cost_s: float


#: Carries out a Compute: on real tensors, on meta tensors, or as it was recorded.
Machine = Callable[[Compute], Work]


class Observer:
    """Is told what the engine does as it does it; this one takes no notice."""

    def keep(self, rank: int, step: int, layer: int, name: str, value: Any) -> None:
        """A schedule offers an activation."""

    def step_done(self, rank: int, step: int, operations: Sequence[Operation]) -> None:
        """A rank is through with a step, in which it did these operations.

        A transfer that is still under way has no end yet; its operation is given one later.
        """


def play(
    programs: Sequence[Program], machine: Machine, network: Network, observer: Observer
) -> tuple[list[Operation], list[Any]]:
    """Run every rank to its end; gives the operations by rank, and the ranks' outputs.

    Raises ScheduleError for a deadlock, for transfers that do not match or that nobody takes,
    and for whatever goes wrong inside a Compute.
    """
    engine = Engine(len(programs), machine, network, observer)
    ranks = [Rank(engine, rank, program) for rank, program in enumerate(programs)]
    engine.env.run()
    if not all(rank.finished for rank in ranks) or engine.left_over():
        raise ScheduleError(_stuck(ranks, engine.left_over()))
    return [op for rank in ranks for op in rank.operations], [rank.output for rank in ranks]


class Engine:
    """What the ranks share: the clock, the machine, the network and its lanes."""

    def __init__(
        self, ranks: int, machine: Machine, network: Network, observer: Observer
    ) -> None:
        self.env = simpy.Environment()
        self.world = Group(tuple(range(ranks)))
        self.machine = machine
        self.observer = observer
        self.traffic = network.traffic(self.env)
        self.lanes: dict[Line, Lane] = {}

    def join(self, line: Line, ticket: Ticket) -> None:
        """A rank's transfer takes its place in a line."""
        if line not in self.lanes:
            self.lanes[line] = Lane(line, self.env, self.traffic)
        self.lanes[line].join(ticket)

    def left_over(self) -> list[Ticket]:
        """Transfers that never found all their members."""
        return [t for lane in self.lanes.values() for queue in lane.waiting.values() for t in queue]


class Rank:
    """One rank: its program, where it is in it, and what it has done."""

    def __init__(self, engine: Engine, rank: int, program: Program) -> None:
        self.engine = engine
        self.env = engine.env
        self.rank = rank
        self.program = program
        self.step = self.layer = -1
        self.host_s = 0.0  # since the last operation
        self.operations: list[Operation] = []
        self.step_began = 0  # its first operation
        self.waiting: Ticket | None = None
        self.finished = False
        self.output: Any = None
        self.handlers: dict[type[Op], Callable[[Any], Handler]] = {
            At: self._at,
            Compute: self._compute,
            Keep: self._keep,
            Lag: self._lag,
            Wait: self._wait,
            **dict.fromkeys((Send, Recv, Shift, AllGather, AllReduce, AllToAll), self._transfer),
        }
        self.env.process(self._run())

    def __str__(self) -> str:
        return f"rank {self.rank}, {where(self.step, self.layer)}"

    def _run(self) -> Handler:
        value = None
        while True:
            try:
                op = self.program.send(value)
            except StopIteration as stop:
                self._close_step()
                self.output, self.finished = stop.value, True
                return
            handler = self.handlers.get(type(op))
            if handler is None:
                raise ScheduleError(f"{self}: the schedule yields {op!r}, which is no operation")
            value = yield from handler(op)

    def _at(self, op: At) -> Handler:
        if op.step != self.step:
            self._close_step()
        self.step, self.layer = op.step, op.layer
        return
        yield

    def _close_step(self) -> None:
        if self.step >= 0:
            self.engine.observer.step_done(self.rank, self.step, self.operations[self.step_began :])
        self.step_began = len(self.operations)

    def _keep(self, op: Keep) -> Handler:
        self.engine.observer.keep(self.rank, self.step, self.layer, op.name, op.value)
        return
        yield

    def _lag(self, op: Lag) -> Handler:
        self.host_s += op.host_s
        yield self.env.timeout(op.host_s)

    def _compute(self, op: Compute) -> Handler:
        try:
            work = self.engine.machine(op)
        except ThinwireError:
            raise
        except Exception as error:
            name = getattr(op.fn, "__name__", repr(op.fn))
            raise ScheduleError(f"{self}: compute {name!r} failed: {error}") from error
        done = self._operation("compute", "compute", work.name)
        done.shape, done.cost_s = work.shape, work.cost_s
        yield self.env.timeout(work.cost_s)
        done.end_s = self.env.now
        return work.value

    def _wait(self, op: Wait) -> Handler:
        ticket = op.ticket
        if not isinstance(ticket, Ticket):
            raise ScheduleError(f"{self}: waits for {ticket!r}, which is no ticket")
        done = self._operation("compute", "wait", ticket.op.name)
        done.waits_for = ticket.seq
        if ticket.pending:
            self.waiting = ticket
            ticket.complete = ticket.complete or self.env.event()
            yield ticket.complete
            self.waiting = None
        done.end_s = self.env.now
        return ticket.value

    def _transfer(self, op: Transfer) -> Handler:
        group = op.group or self.engine.world
        stands_in = lines(op, self.rank, group)
        row = self._operation(group.name, op.kind, op.name)
        row.shape = describe_shape((op.value,))
        row.bytes = op.value.nbytes
        row.wire_bytes = wire_bytes(op, len(group.ranks))
        row.group = ",".join(map(str, group.ranks))
        row.dst, row.src = peers(op, self.rank, group)
        ticket = Ticket(op, row)
        for line in stands_in:
            self.engine.join(line, ticket)
        if not stands_in:  # a shift to itself
            ticket.value, row.end_s = op.value, self.env.now
        return ticket
        yield

    def _operation(self, stream: str, kind: str, name: str) -> Operation:
        done = Operation(
            rank=self.rank,
            seq=len(self.operations),
            stream=stream,
            kind=kind,
            name=name,
            step=self.step,
            layer=self.layer,
            start_s=self.env.now,
            host_s=self.host_s,
        )
        self.host_s = 0.0
        self.operations.append(done)
        return done


def peers(op: Transfer, rank: int, group: Group) -> tuple[int, int]:
    """(rank sent to, rank received from); -1 where there is no such single rank."""
    if isinstance(op, Shift):
        return op.peers(rank, group)
    return getattr(op, "to", -1), getattr(op, "source", -1)


def _stuck(ranks: Sequence[Rank], left_over: list[Ticket]) -> str:
    """Who waits for what, and who never came."""
    waiting = [rank.waiting for rank in ranks if rank.waiting is not None]
    head = "deadlock: no rank can go on" if waiting else "transfers that nobody joined"
    report = [f"rank {t.rank} waits for {t}: {_absent(t)}" for t in waiting or left_over]
    report += [f"rank {rank.rank} has finished" for rank in ranks if rank.finished]
    return "\n  ".join([head, *report])


def _absent(ticket: Ticket) -> str:
    absent = sorted({rank for lane in ticket.lanes for rank in lane.missing(ticket)})
    if not absent:
        return "it stands behind a transfer that cannot start"
    return f"{' and '.join(f'rank {rank}' for rank in absent)} did not join"
