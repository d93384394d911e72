"""Plays all ranks' programs on one virtual clock (SimPy): who computes, who waits, who is stuck."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, Protocol, runtime_checkable

import simpy

from simnet.drivers.cores import Cores
from simnet.drivers.host import NO_HOST, HostCosts
from simnet.drivers.log import Log, describe
from simnet.drivers.matches import check_peers, same_thing
from simnet.drivers.matching import Check, Lane, Spell, Ticket
from simnet.drivers.observer import Observer
from simnet.network.network import Line, Network, lines
from simnet.ops import TRANSFERS, At, Compute, Group, Keep, Lag, Op, Program, Transfer, Wait
from traces.errors import ScheduleError, ThinwireError
from traces.operation import Operation

Handler = Generator[simpy.Event, Any, Any]


class Work(NamedTuple):
    """What a Compute came to.

    `transfer_share` is what a transfer under way takes of the processor.
    """

    value: Any
    name: str
    shape: str
    cost_s: float
    transfer_share: float = 0.0


#: Carries out a Compute: on real tensors, on meta tensors, or as it was recorded.
Machine = Callable[[Compute], Work]


@runtime_checkable
class Paced(Protocol):
    """A network whose ranks do not all compute as fast as a machine says, or not each time."""

    def pace(self, rank: int) -> Callable[[float], float]:
        """From the cost of this rank's computes, in the order it does them, to what they take."""
        ...


def play(
    programs: Sequence[Program],
    steps: int,
    machine: Machine,
    network: Network,
    observer: Observer,
    *,
    host: HostCosts = NO_HOST,
    cores: int | None = None,
    check: Check = same_thing,
) -> tuple[list[Operation], list[Any]]:
    """Run every rank through all its steps; gives the operations by rank, and the ranks' outputs.

    `host` is what operations take of a rank's host; `cores` is how many all ranks share, None
    where each computes on something of its own. `check` says which transfers belong together.

    Raises ScheduleError for a deadlock, for transfers that do not match or that nobody takes, and
    for whatever goes wrong inside a schedule or a Compute.
    """
    engine = Engine(len(programs), machine, network, host=host, cores=cores, check=check)
    ranks = [
        Rank(engine, Log(rank, steps, observer), program) for rank, program in enumerate(programs)
    ]
    engine.env.run()
    if not all(rank.finished for rank in ranks) or engine.left_over():
        raise ScheduleError(_stuck(ranks, engine.left_over()))
    return [op for rank in ranks for op in rank.log.operations], [rank.output for rank in ranks]


@contextmanager
def collector_paused() -> Iterator[None]:
    """All rows live until the end: looking for garbage among them took a third of the time."""
    was_on = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if was_on:
            gc.enable()


class Engine:
    """What the ranks share: the clock, the machine, the network and its lanes."""

    def __init__(
        self,
        ranks: int,
        machine: Machine,
        network: Network,
        *,
        host: HostCosts = NO_HOST,
        cores: int | None = None,
        check: Check = same_thing,
    ) -> None:
        self.check = check
        self.env = simpy.Environment()
        self.host = host
        self.cores = None if cores is None else Cores(self.env, cores)
        self.world = Group(tuple(range(ranks)))
        self.machine = machine
        self.network = network
        self.traffic = network.traffic(self.env)
        self.lanes: dict[Line, Lane] = {}
        self.transferring = [Spell(self.env) for _ in range(ranks)]

    def join(self, line: Line, ticket: Ticket) -> None:
        """A rank's transfer takes its place in a line."""
        lane = self.lanes.get(line)
        if lane is None:
            shared = self.env, self.traffic, self.transferring, self.check
            lane = self.lanes[line] = Lane(line, *shared)
        lane.join(ticket)

    def machine_of(self, rank: int) -> Machine:
        """What carries out a rank's computes."""
        if not isinstance(self.network, Paced):
            return self.machine
        pace = self.network.pace(rank)

        def paced(op: Compute) -> Work:
            work = self.machine(op)
            return work._replace(cost_s=pace(work.cost_s))

        return paced

    def left_over(self) -> list[Ticket]:
        """Transfers that never found all their members."""
        return [t for lane in self.lanes.values() for queue in lane.waiting.values() for t in queue]


class Rank:
    """One rank: its program, and what it has done."""

    def __init__(self, engine: Engine, log: Log, program: Program) -> None:
        self.engine = engine
        self.env = engine.env
        self.machine = engine.machine_of(log.rank)
        self.log = log
        self.program = program
        self.host_s = 0.0  # since the last operation
        self.host = engine.host.of_rank(log.rank)
        self.waiting: Ticket | None = None
        self.finished = False
        self.output: Any = None
        self.handlers: dict[type[Op], Callable[[Any], Handler]] = {
            At: self._at,
            Compute: self._compute,
            Keep: self._keep,
            Lag: self._lag,
            Wait: self._wait,
            **dict.fromkeys(TRANSFERS, self._transfer),
        }
        self.env.process(self._run())

    def _run(self) -> Handler:
        value = None
        while True:
            try:
                op = self.program.send(value)
            except StopIteration as stop:
                self.log.finish()
                self.output, self.finished = stop.value, True
                return
            except ThinwireError:
                raise
            except Exception as error:
                raise ScheduleError(f"{self.log}: the schedule itself failed: {error!r}") from error
            handler = self.handlers.get(type(op))
            if handler is None:
                raise ScheduleError(f"{self.log}: the schedule yields {op!r}, not an operation")
            try:
                if self.engine.host is not NO_HOST and not isinstance(op, At | Keep | Lag):
                    yield from self._gap()
                value = yield from handler(op)
            except ThinwireError:
                raise
            except Exception as error:
                raise ScheduleError(f"{self.log}: {describe(op)} failed: {error}") from error

    def _gap(self) -> Handler:
        """What the host does before an operation that is not the rank's first."""
        if self.log.operations:
            posted = self.log.operations[-1].stream != "compute"
            yield from self._lag(Lag(self.host.gap_s(posted=posted)))

    def _at(self, op: At) -> Handler:
        self.log.at(op)
        return
        yield

    def _keep(self, op: Keep) -> Handler:
        self.log.keep(op)
        return
        yield

    def _lag(self, op: Lag) -> Handler:
        self.host_s += op.host_s
        yield self.env.timeout(op.host_s)

    def _compute(self, op: Compute) -> Handler:
        work = self.machine(op)
        if not 0 <= work.cost_s < math.inf:
            raise ScheduleError(
                f"{self.log}: {describe(op)} costs {work.cost_s} s, expected 0 or more, and finite"
            )
        row = self._row("compute", work.name)
        row.shape, row.cost_s = work.shape, work.cost_s
        before_s = self.engine.transferring[self.log.rank].so_far_s
        if self.engine.cores is not None and work.cost_s:
            yield self.engine.cores.work(work.cost_s)
        else:
            yield self.env.timeout(work.cost_s)
        if work.transfer_share:
            yield from self._catch_up(work, row, before_s)
        if late_s := self.host.late_s():
            yield self.env.timeout(late_s)
        if late_s or self.engine.cores is not None:
            row.cost_s = self.env.now - row.start_s
        row.end_s = self.env.now
        return work.value

    def _catch_up(self, work: Work, row: Operation, before_s: float) -> Handler:
        """Go on for as long as transfers have kept the processor from the work.

        `before_s` is how long transfers had been under way when it began.

        While one is under way the work goes on at 1 - transfer_share of its speed. Each time
        that is made up for may itself be slowed down, by so much less that it soon ends: at the
        latest where the clock is too far on to tell the difference.
        """
        transferring = self.engine.transferring[self.log.rank]
        while True:
            lost_s = work.transfer_share * (transferring.so_far_s - before_s)
            behind_s = work.cost_s + lost_s - (self.env.now - row.start_s)
            if behind_s <= max(1e-9 * work.cost_s, math.ulp(self.env.now)):
                break
            yield self.env.timeout(behind_s)
        row.cost_s = self.env.now - row.start_s

    def _wait(self, op: Wait) -> Handler:
        ticket = op.ticket
        if not isinstance(ticket, Ticket):
            raise ScheduleError(f"{self.log}: waits for {ticket!r}, which is no ticket")
        row = self._row("wait", ticket.op.name)
        row.waits_for = ticket.seq
        if ticket.pending:
            self.waiting = ticket
            ticket.complete = ticket.complete or self.env.event()
            yield ticket.complete
            self.waiting = None
            if wake_s := self.host.wake_s():
                yield self.env.timeout(wake_s)
        if op.wake_s:
            yield self.env.timeout(op.wake_s)
        row.end_s = self.env.now
        return ticket.value

    def _transfer(self, op: Transfer) -> Handler:
        group = op.group or self.engine.world
        check_peers(op, self.log.rank, group)
        row = self.log.transfer(op, group, self.env.now)
        row.host_s, self.host_s = self.host_s, 0.0
        ticket = Ticket(op, row)
        stands_in = lines(row, group.ranks)
        for line in stands_in:
            self.engine.join(line, ticket)
        if not stands_in:  # a shift to itself
            ticket.value, row.end_s = op.value, self.env.now
        return ticket
        yield

    def _row(self, kind: str, name: str) -> Operation:
        row = self.log.row("compute", kind, name, self.env.now)
        row.host_s, self.host_s = self.host_s, 0.0
        return row


def _stuck(ranks: Sequence[Rank], left_over: list[Ticket]) -> str:
    """Who waits for what, and who never came."""
    waiting = [rank.waiting for rank in ranks if rank.waiting is not None]
    head = "deadlock: no rank can go on" if waiting else "transfers that nobody joined"
    report = [f"rank {t.rank} waits for {t}: {_absent(t)}" for t in waiting or left_over]
    report += [f"rank {rank.log.rank} has finished" for rank in ranks if rank.finished]
    return "\n  ".join([head, *report])


def _absent(ticket: Ticket) -> str:
    absent = sorted({rank for lane in ticket.lanes for rank in lane.missing(ticket)})
    if not absent:
        return "it stands behind a transfer that cannot start"
    return f"{' and '.join(f'rank {rank}' for rank in absent)} did not join"
