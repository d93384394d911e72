"""The few things a schedule may ask for; a driver carries each out and hands the result back.

A schedule is a generator for one rank. It yields operations and receives values:

    partial = yield Compute(block.attend, q, kv)   the callable's result
    ticket = yield Shift("kv", kv)                 a ticket: the transfer is under way
    kv = yield Wait(ticket)                        what the transfer brought

It sees no clock, link or process group, so the same generator runs live, in turn on one device,
and in the simulator.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from operator import index
from typing import Any, ClassVar, Protocol

from simnet.bulk import Bulk
from traces import wire
from traces.errors import ScheduleError

#: A schedule's generator for one rank; what it returns is that rank's output.
Program = Generator["Op", Any, Any]


class Payload(Protocol):
    """What can be transferred: a tensor, or in a replay something of the same size."""

    @property
    def nbytes(self) -> int: ...

    @property
    def shape(self) -> Sequence[int]: ...

    def __add__(self, other: Any, /) -> Any: ...

    def chunk(self, chunks: int, /) -> Sequence[Any]: ...

    def split(self, sizes: Any, /) -> Sequence[Any]: ...


@dataclass(frozen=True, order=True)
class Group:
    """A communicator: some ranks in rising order, and a name that tells it from others of them.

    Collectives of one communicator proceed in the order in which they were asked for, and so do
    its messages from one rank to another. Raises ScheduleError for ranks or a name that will not
    do.
    """

    ranks: tuple[int, ...]
    name: str = "world"

    def __post_init__(self) -> None:
        rising = all(a < b for a, b in pairwise(self.ranks))
        if not self.ranks or self.ranks[0] < 0 or not rising:
            raise ScheduleError(
                f"group {self.name!r}: ranks are {self.ranks}, expected one or more from 0 up, "
                "each above the one before"
            )
        if self.name in {"", "compute"}:
            raise ScheduleError(
                f"group of ranks {self.ranks}: its name is {self.name!r}; choose another, for it "
                "names the stream of its transfers"
            )


class Op:
    """Anything a schedule may yield."""

    __slots__ = ()


class At(Op):
    """What follows belongs to this step, and to this layer (-1: to none). Takes no time."""

    __slots__ = ("layer", "step")

    def __init__(self, step: int, layer: int = -1) -> None:
        self.step = step
        self.layer = layer


class Compute(Op):
    """Call `fn(*args)` on the rank's compute stream; gives back its result.

    Arguments are tensors, numbers or None: their shapes are what a cost model goes by.
    """

    __slots__ = ("args", "fn")

    def __init__(self, fn: Callable[..., Any], *args: Any) -> None:
        self.fn = fn
        self.args = args


class Keep(Op):
    """Offer an activation to the trace, under a name; recorded when asked for. Takes no time."""

    __slots__ = ("name", "value")

    def __init__(self, name: str, value: Any) -> None:
        self.name = name
        self.value = value


class Wait(Op):
    """Block the compute stream until a transfer is complete; gives back what it brought.

    The same ticket may be waited for again, which then takes no time. `wake_s` is how long the
    rank takes to go on after that; only replays of recordings know it.
    """

    __slots__ = ("ticket", "wake_s")

    def __init__(self, ticket: Ticket, wake_s: float = 0.0) -> None:
        self.ticket = ticket
        self.wake_s = wake_s


class Lag(Op):
    """The host is busy with something unrecorded for so long; only replays of recordings ask it."""

    __slots__ = ("host_s",)

    def __init__(self, host_s: float) -> None:
        self.host_s = host_s


class Transfer(Op):
    """Start moving `value` between ranks of `group` (None: all ranks); gives back a ticket."""

    __slots__ = ("group", "name", "value")
    kind: ClassVar[str]

    def __init__(self, name: str, value: Payload, group: Group | None = None) -> None:
        self.name = name
        self.value: Any = value
        self.group = group


class Send(Transfer):
    """Send to rank `to`. The ticket completes when the value has been taken over."""

    __slots__ = ("to",)
    kind = "send"

    def __init__(self, name: str, value: Payload, to: int, group: Group | None = None) -> None:
        super().__init__(name, value, group)
        self.to = to


class Recv(Transfer):
    """Receive from rank `source` something of the shape and type of `value`."""

    __slots__ = ("source",)
    kind = "recv"

    def __init__(self, name: str, value: Payload, source: int, group: Group | None = None) -> None:
        super().__init__(name, value, group)
        self.source = source


class Shift(Transfer):
    """Send to the member `by` places on and receive the like from `by` places back (cyclic)."""

    __slots__ = ("by",)
    kind = "shift"

    def __init__(self, name: str, value: Payload, by: int = 1, group: Group | None = None) -> None:
        super().__init__(name, value, group)
        self.by = by

    def peers(self, rank: int, group: Group) -> tuple[int, int]:
        """(the rank sent to, the rank received from)."""
        place, ranks = group.ranks.index(rank), group.ranks
        return ranks[(place + self.by) % len(ranks)], ranks[(place - self.by) % len(ranks)]


class Collective(Transfer):
    """A transfer that every member of the group joins with a value of the same shape."""

    __slots__ = ()

    def deliver(self, ops: Sequence[Any]) -> list[Any]:
        """What each member gets, given what each member asked for, both in group order."""
        raise NotImplementedError


class AllGather(Collective):
    """Everyone gets everyone's value: a list in group order."""

    __slots__ = ()
    kind = "all_gather"

    def deliver(self, ops: Sequence[Any]) -> list[Any]:
        return [[op.value for op in ops] for _ in ops]


class AllReduce(Collective):
    """Everyone gets the sum of all values.

    One process adds them up in group order; a live backend may in another, and round otherwise.
    """

    __slots__ = ()
    kind = "all_reduce"

    def deliver(self, ops: Sequence[Any]) -> list[Any]:
        total = _sum(ops)
        return [total for _ in ops]


class ReduceScatter(Collective):
    """Member i gets the i-th of equal parts (along dim 0) of the sum of all values."""

    __slots__ = ()
    kind = "reduce_scatter"

    def deliver(self, ops: Sequence[Any]) -> list[Any]:
        return list(_sum(ops).chunk(len(ops)))


class AllToAll(Collective):
    """Member i gets the i-th part (along dim 0) of everyone's value: a list in group order.

    Parts are equal chunks, or of the sizes that all members say: `sends[j]` rows of this value are
    for member j, and `takes[i]` rows come from member i, who says so too. A part may have no rows.
    The members' values may then differ in their first dimension.
    """

    __slots__ = ("sends", "takes")
    kind = "all_to_all"

    def __init__(
        self,
        name: str,
        value: Payload,
        group: Group | None = None,
        *,
        sends: Sequence[int] | None = None,
        takes: Sequence[int] | None = None,
    ) -> None:
        super().__init__(name, value, group)
        self.sends = None if sends is None else tuple(map(index, sends))
        self.takes = None if takes is None else tuple(map(index, takes))

    @property
    def parts(self) -> tuple[int, ...]:
        """Bytes for each member, in group order; () where they are equal."""
        if self.sends is None:
            return ()
        row_bytes = self.value.nbytes // max(1, self.value.shape[0])
        return tuple(rows * row_bytes for rows in self.sends)

    def deliver(self, ops: Sequence[Any]) -> list[Any]:
        if self.sends is None:
            parts = [op.value.chunk(len(ops)) for op in ops]
        else:
            parts = [op.value.split(op.sends) for op in ops]
        return [[theirs[place] for theirs in parts] for place in range(len(ops))]


class Rooted(Collective):
    """A collective that has a root: the rank that the value comes from, or goes to."""

    __slots__ = ("root",)

    def __init__(self, name: str, value: Payload, root: int, group: Group | None = None) -> None:
        super().__init__(name, value, group)
        self.root = root

    def place(self) -> int:
        """The root's in the group; of all ranks, each is at its own number."""
        return self.group.ranks.index(self.root) if self.group else self.root


class Broadcast(Rooted):
    """Everyone gets the root's value; others' values only say what it is like."""

    __slots__ = ()
    kind = "broadcast"

    def deliver(self, ops: Sequence[Any]) -> list[Any]:
        return [ops[self.place()].value for _ in ops]


class Reduce(Rooted):
    """The root gets the sum of all values, others nothing."""

    __slots__ = ()
    kind = "reduce"

    def deliver(self, ops: Sequence[Any]) -> list[Any]:
        return [_sum(ops) if place == self.place() else None for place in range(len(ops))]


class Gather(Rooted):
    """The root gets everyone's value: a list in group order. Others get nothing."""

    __slots__ = ()
    kind = "gather"

    def deliver(self, ops: Sequence[Any]) -> list[Any]:
        values = [op.value for op in ops]
        return [values if place == self.place() else None for place in range(len(ops))]


class Scatter(Rooted):
    """Member i gets the i-th of equal parts (along dim 0) of the root's value.

    Others' values only say what that one is like.
    """

    __slots__ = ()
    kind = "scatter"

    def deliver(self, ops: Sequence[Any]) -> list[Any]:
        return list(ops[self.place()].value.chunk(len(ops)))


class Barrier(Collective):
    """Complete when every member has asked for it. Nothing moves."""

    __slots__ = ()
    kind = "barrier"

    def __init__(self, name: str = "barrier", group: Group | None = None) -> None:
        super().__init__(name, Bulk(0), group)

    def deliver(self, ops: Sequence[Any]) -> list[Any]:
        return [None for _ in ops]


def _sum(ops: Sequence[Any]) -> Any:
    """Of all values, in group order."""
    total = ops[0].value
    for op in ops[1:]:
        total = total + op.value
    return total


#: Every kind of transfer.
TRANSFERS: tuple[type[Transfer], ...] = (
    *(Send, Recv, Shift, AllGather, AllReduce, AllToAll, ReduceScatter),
    *(Broadcast, Reduce, Gather, Scatter, Barrier),
)


class Ticket(Protocol):
    """A transfer under way: `op` is what was asked for, `seq` its row in the rank's trace."""

    op: Transfer
    seq: int


def wire_bytes(op: Transfer, members: int, place: int) -> int:
    """Bytes that the member at this place of the group puts on the wire: traces.wire."""
    root = op.place() if isinstance(op, Rooted) else -1
    parts = op.parts if isinstance(op, AllToAll) else ()
    return wire.wire_bytes(op.kind, op.value.nbytes, range(members), place, root=root, parts=parts)
