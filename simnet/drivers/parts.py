"""All-to-alls of parts that differ in size: do a member's numbers make sense, and all members'?"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

from simnet.shapes import describe_shape
from traces.errors import ScheduleError

if TYPE_CHECKING:
    from simnet.ops import AllToAll


class Asked(Protocol):
    """A transfer that a rank has asked for; as text, what and where."""

    op: Any

    @property
    def rank(self) -> int:
        """Who asked."""
        ...


def check_sizes(op: AllToAll, members: int, place: int, who: object) -> None:
    """Raise ScheduleError where one member's `sends` and `takes` make no sense by themselves.

    It is at this place of so many members; `who` says which rank it is, and where in the run.
    """
    if op.sends is None and op.takes is None:
        return
    what = f"{who}: all_to_all {op.name!r}"
    if op.sends is None or op.takes is None:
        given, missing = ("sends", "takes") if op.takes is None else ("takes", "sends")
        raise ScheduleError(
            f"{what} has {given} and no {missing}; give both, or neither for equal parts"
        )
    for name, rows in (("sends", op.sends), ("takes", op.takes)):
        if len(rows) != members or min(rows) < 0:
            raise ScheduleError(
                f"{what}: {name} is {list(rows)}, expected a number of rows from 0 up for each of "
                f"its {members} ranks"
            )
    if (sum(op.sends),) != tuple(op.value.shape[:1]):
        raise ScheduleError(
            f"{what}: sends is {list(op.sends)}, which is {sum(op.sends)} rows in all, but its "
            f"value is {describe_shape((op.value,))}"
        )
    if op.sends[place] != op.takes[place]:
        raise ScheduleError(
            f"{what}: of its own value it sends itself {op.sends[place]} rows and takes "
            f"{op.takes[place]}; expected the same number"
        )


def check_pairs(tickets: Sequence[Asked]) -> None:
    """Raise ScheduleError unless all members of an all-to-all, or none, say sizes that agree."""
    ops: list[Any] = [ticket.op for ticket in tickets]
    sized = [op.sends is not None for op in ops]
    if not all(sized):
        if any(sized):
            with_, without = tickets[sized.index(True)], tickets[sized.index(False)]
            raise ScheduleError(
                f"transfers do not match: rank {with_.rank} has {with_} with sends and takes, "
                f"rank {without.rank} has {without} without; all ranks must give them, or none"
            )
        return
    for place, sent in enumerate(zip(*(op.sends for op in ops), strict=True)):
        taken = ops[place].takes
        if sent != taken:
            odd = next(i for i, rows in enumerate(sent) if rows != taken[i])
            sender, taker = tickets[odd], tickets[place]
            raise ScheduleError(
                f"transfers do not match: rank {sender.rank} has {sender} with {sent[odd]} rows "
                f"for rank {taker.rank}, rank {taker.rank} has {taker} with {taken[odd]} rows from "
                f"rank {sender.rank}; both must name the same number"
            )
