"""Do transfers that met in a line belong together? Schedules of ours must agree in all they say.

Of other people's programs less is known: names are made up by whoever recorded them, and shapes
may be missing. Their transfers belong together by their order; kinds, roots and sizes must fit.
"""

from __future__ import annotations

from collections.abc import Sequence
from string import digits

from simnet.drivers.matching import Ticket
from simnet.drivers.parts import check_pairs
from simnet.ops import (
    AllToAll,
    Collective,
    Group,
    Recv,
    ReduceScatter,
    Rooted,
    Scatter,
    Send,
    Transfer,
)
from traces.errors import ScheduleError
from traces.shape import payload_bytes


def check_peers(op: Transfer, rank: int, group: Group) -> None:
    """Raise ScheduleError where the rank, or one that it names, is not in the group."""
    if rank not in group.ranks:
        raise ScheduleError(
            f"rank {rank} joins {op.kind} {op.name!r} of group {group.name!r}, whose ranks are "
            f"{_listed(group.ranks)}"
        )
    if isinstance(op, Send | Recv):
        peer = op.to if isinstance(op, Send) else op.source
        if peer == rank or peer not in group.ranks:
            raise ScheduleError(
                f"rank {rank}: the other end of {op.kind} {op.name!r} is rank {peer}; expected "
                f"another of ranks {_listed(group.ranks)}"
            )
    if isinstance(op, Rooted) and op.root not in group.ranks:
        raise ScheduleError(
            f"rank {rank}: the root of {op.kind} {op.name!r} is rank {op.root}; expected one of "
            f"ranks {_listed(group.ranks)}"
        )


def same_thing(tickets: Sequence[Ticket]) -> None:
    """For schedules of ours: the same name, kind, root, shape and type at all members.

    Raises ScheduleError naming two ranks that differ, and for values that do not split evenly.
    """
    first = tickets[0]
    for other in tickets[1:]:
        _same_kind(first, other)
        if other.op.name != first.op.name or not _same_shape(first, other):
            why = "both ends must name the same thing, of the same shape and type"
            raise _mismatch(first, other, why)
    if isinstance(first.op, AllToAll):
        check_pairs(tickets)
    if _splits_evenly(first.op) and first.op.value.shape[0] % len(tickets):
        raise ScheduleError(
            f"rank {first.rank}: {first} of {first.row.shape} cannot be split evenly over "
            f"{len(tickets)} ranks along its first dimension"
        )


def same_size(tickets: Sequence[Ticket]) -> None:
    """For other people's programs: the same kind and root, and as many bytes as far as is known.

    Members of an all-to-all may bring different numbers. Raises ScheduleError naming two ranks
    that differ.
    """
    first = tickets[0]
    for other in tickets[1:]:
        _same_kind(first, other)
        brought, expected = first.row.bytes, _expected(other)
        if expected not in (None, brought) and not isinstance(first.op, AllToAll):
            raise _mismatch(first, other, f"the sizes are {brought} and {expected} bytes")


def _same_kind(first: Ticket, other: Ticket) -> None:
    if isinstance(first.op, Collective) and other.op.kind != first.op.kind:
        raise _mismatch(first, other, "all ranks must ask for the same kind of collective")
    roots = [one.op.root for one in (first, other) if isinstance(one.op, Rooted)]
    if len(set(roots)) > 1:
        raise _mismatch(first, other, f"the roots are rank {roots[0]} and rank {roots[1]}")


def _expected(ticket: Ticket) -> int | None:
    """Bytes that this member has to do with; None for a receive of something of unknown shape."""
    if not isinstance(ticket.op, Recv):
        return ticket.row.bytes
    return payload_bytes(ticket.row.shape) if ticket.row.shape else None


def _mismatch(first: Ticket, other: Ticket, why: str) -> ScheduleError:
    each = ", ".join(
        f"rank {one.rank} has {one} of {one.row.shape or f'{one.row.bytes} bytes'}"
        for one in (first, other)
    )
    return ScheduleError(f"transfers do not match: {each}; {why}")


def _splits_evenly(op: Transfer) -> bool:
    if isinstance(op, AllToAll):
        return op.sends is None
    return isinstance(op, ReduceScatter | Scatter)


def _same_shape(first: Ticket, other: Ticket) -> bool:
    """Apart from the first dimension where one has parts that differ: check_pairs looks at it."""
    shapes = first.row.shape, other.row.shape
    if first.row.parts or other.row.parts:
        shapes = shapes[0].lstrip(digits), shapes[1].lstrip(digits)
    return shapes[0] == shapes[1]


def _listed(ranks: Sequence[int]) -> str:
    return ", ".join(map(str, ranks))
