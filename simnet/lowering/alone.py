"""One rank's program run by itself on tensors without data: what it does, told by no one else."""

from __future__ import annotations

from array import array
from typing import TYPE_CHECKING, Any

from simnet.drivers.log import where
from simnet.drivers.matches import check_peers
from simnet.drivers.parts import check_sizes
from simnet.lowering.graph import COMPUTE, MOVE, WAIT, Move
from simnet.ops import (
    AllGather,
    AllReduce,
    AllToAll,
    At,
    Collective,
    Compute,
    Group,
    Keep,
    Op,
    Program,
    Recv,
    Rooted,
    Send,
    Shift,
    Transfer,
    Wait,
)
from simnet.shapes import describe_shape
from traces.errors import ScheduleError, ThinwireError

if TYPE_CHECKING:
    from simnet.drivers.simulated import MetaMachine


class Asked:
    """The ticket of a transfer: what it is, and what it will have brought."""

    __slots__ = ("op", "seq", "value")

    def __init__(self, op: Transfer, seq: int, value: Any) -> None:
        self.op = op
        self.seq = seq
        self.value = value


class Alone:
    """A rank on its way through its program, and the rows that it leaves.

    What others send it has the shapes of what it has itself, or says that it expects: a schedule
    whose ranks do not fit together is found out when their transfers are matched. A `machine`
    whose times are the numbers of calls serves all ranks, and so does `moves`.
    """

    def __init__(
        self, rank: int, world: Group, machine: MetaMachine, moves: dict[Move, int]
    ) -> None:
        self.rank = rank
        self.world = world
        self.machine = machine
        self.moves = moves
        self.step = self.layer = -1
        self.kind, self.what = array("B"), array("i")
        self.steps, self.layers = array("i"), array("i")

    def __str__(self) -> str:
        return f"rank {self.rank}, {where(self.step, self.layer)}"

    def run(self, program: Program, steps: int) -> None:
        """To its end; raises ScheduleError for what goes wrong in it, and for steps left out."""
        value = None
        while True:
            try:
                value = self._take(program.send(value))
            except StopIteration:
                break
            except ThinwireError:
                raise
            except Exception as error:
                raise ScheduleError(f"{self}: the schedule itself failed: {error!r}") from error
        if self.step + 1 != steps:
            raise ScheduleError(f"rank {self.rank} ended after {self.step + 1} of {steps} steps")

    def _take(self, op: Op) -> Any:
        """Note an operation; gives back what the program gets for it."""
        if isinstance(op, Compute):
            work = self.machine(op)
            self._row(COMPUTE, int(work.cost_s))
            return work.value
        if isinstance(op, Wait):
            if not isinstance(op.ticket, Asked):
                raise ScheduleError(f"{self}: waits for {op.ticket!r}, which is no ticket")
            self._row(WAIT, op.ticket.seq)
            return op.ticket.value
        if isinstance(op, Transfer):
            return self._transfer(op)
        if isinstance(op, At):
            if op.step < self.step:
                raise ScheduleError(f"{self} goes back to step {op.step}; steps come in order")
            self.step, self.layer = op.step, op.layer
        elif not isinstance(op, Keep):
            raise ScheduleError(f"{self}: the schedule yields {op!r}, which cannot be lowered")
        return None

    def _transfer(self, op: Transfer) -> Asked:
        group = op.group or self.world
        check_peers(op, self.rank, group)
        ticket = Asked(op, len(self.kind), self._brought(op, group))
        move = describe(op, group)
        self._row(MOVE, self.moves.setdefault(move, len(self.moves)))
        return ticket

    def _brought(self, op: Transfer, group: Group) -> Any:
        """What a rank of a schedule that is right would get.

        Of all members' values only this rank's share is made: with all of them, time would grow
        with the third power of the ranks.
        """
        place, members = group.ranks.index(self.rank), len(group.ranks)
        if isinstance(op, Send):
            return None
        if isinstance(op, Recv | Shift):
            return op.value
        if isinstance(op, AllGather):
            return [op.value] * members
        if isinstance(op, AllReduce):
            return op.deliver([op, op][:members])[0]  # a sum of more is alike
        if isinstance(op, AllToAll):
            return self._parts(op, members, place)
        assert isinstance(op, Collective)
        return op.deliver([op] * members)[place]

    def _parts(self, op: AllToAll, members: int, place: int) -> list[Any]:
        check_sizes(op, members, place, self)
        if op.takes is None:
            return [op.value.chunk(members)[place]] * members
        return [op.value.new_empty((rows, *op.value.shape[1:])) for rows in op.takes]

    def _row(self, kind: int, what: int) -> None:
        self.kind.append(kind)
        self.what.append(what)
        self.steps.append(self.step)
        self.layers.append(self.layer)


def describe(op: Transfer, group: Group) -> Move:
    """What is asked for, without the value."""
    shape, nbytes = describe_shape((op.value,)), op.value.nbytes
    peer = -1
    if isinstance(op, Send):
        peer = op.to
    elif isinstance(op, Recv):
        peer = op.source
    elif isinstance(op, Shift):
        peer = op.by % len(group.ranks)
    elif isinstance(op, Rooted):
        peer = op.root
    if isinstance(op, AllToAll):
        return Move(op.kind, op.name, group, shape, nbytes, peer, op.sends, op.takes)
    return Move(op.kind, op.name, group, shape, nbytes, peer)
