"""The operation graph: what every rank does in which order, and what waits for what; no times."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple, TypeVar

import numpy as np

from simnet.costs import Call
from simnet.ops import Group

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simnet.lowering.matching import Exchange, Load
    from simnet.lowering.order import Order

Made = TypeVar("Made")

#: What an operation is, in the column `kind`; KINDS says it in words.
COMPUTE, WAIT, MOVE = range(3)
KINDS = ("compute", "wait", "transfer")


class Move(NamedTuple):
    """A transfer as a rank asks for it; equal ones are one.

    `peer` is the rank sent to or received from, how many places on a shift goes, or a collective's
    root; -1 where there is none. `sends` and `takes` are rows for and from each member of an
    all-to-all of parts that differ.
    """

    kind: str  # of traces.columns.KINDS
    name: str
    group: Group
    shape: str  # of the payload, "2x64x128:float32"; empty for a barrier
    nbytes: int  # of the payload; of what is received too
    peer: int = -1
    sends: tuple[int, ...] | None = None
    takes: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Origin:
    """What was lowered; fields as in traces.run.Run."""

    model: str
    schedule: str
    ranks: int
    steps: int
    dtype: str
    seed: int = 0
    images: int = 1


@dataclass(frozen=True, eq=False)
class Graph:
    """Operations of all ranks, rank after rank in the order of their programs.

    Columns have a row for each of the N operations. `first[r]` is the row of rank r's first one,
    (R + 1,). `what` is the number of a compute's call or of a transfer's move, and for a wait the
    place in its rank's program of the transfer that it waits for. Edges between ranks follow from
    the moves: see matching.py.
    """

    origin: Origin
    calls: tuple[Call, ...]  # C, each distinct
    moves: tuple[Move, ...]  # each distinct
    first: NDArray[np.int64]
    kind: NDArray[np.uint8]
    what: NDArray[np.int32]
    step: NDArray[np.int32]
    layer: NDArray[np.int32]
    #: What has been worked out of it once, such as tapes, for whoever needs it again.
    kept: dict[Any, Any] = field(default_factory=dict, repr=False)

    @property
    def ranks(self) -> int:
        """R, the number of ranks."""
        return len(self.first) - 1

    def __len__(self) -> int:
        return len(self.kind)

    def rows(self, rank: int) -> slice:
        """Where a rank's operations are."""
        return slice(int(self.first[rank]), int(self.first[rank + 1]))

    def program(self, rank: int) -> Iterator[tuple[int, int, int, int]]:
        """A rank's operations: (kind, what, step, layer) of each."""
        here = self.rows(rank)
        columns = (self.kind[here], self.what[here], self.step[here], self.layer[here])
        return zip(*(column.tolist() for column in columns), strict=True)

    @cached_property
    def exchanges(self) -> list[Exchange]:
        """What the transfers come to when they are matched; raises ScheduleError as `match`."""
        from simnet.lowering.matching import match

        return match(self)

    @cached_property
    def parts(self) -> dict[int, list[int]]:
        """Of a transfer's row, the exchanges that it is part of: a shift is in two."""
        parts: dict[int, list[int]] = {}
        for number, exchange in enumerate(self.exchanges):
            for row in exchange.rows:
                parts.setdefault(row, []).append(number)
        return parts

    @cached_property
    def rank_of(self) -> NDArray[np.int64]:
        """Each row's rank, (N,)."""
        return np.repeat(np.arange(self.ranks), np.diff(self.first))

    def order(self, *, slowed: bool) -> Order:
        """An order to work through it; `slowed`: where transfers slow computes down."""
        from simnet.lowering.order import arrange

        return self.once(("order", slowed), lambda: arrange(self, slowed=slowed))

    def once(self, key: Hashable, make: Callable[[], Made]) -> Made:
        """What was made under this key before, or is now."""
        if key not in self.kept:
            self.kept[key] = make()
        made: Made = self.kept[key]
        return made

    @cached_property
    def loads(self) -> list[Load]:
        """What its exchanges carry, each distinct."""
        return list(dict.fromkeys(exchange.load for exchange in self.exchanges))

    @cached_property
    def computes(self) -> NDArray[np.int64]:
        """How often each rank makes each call, (R, C)."""
        counts = np.zeros((self.ranks, len(self.calls)), np.int64)
        for rank in range(self.ranks):
            here = self.rows(rank)
            calls = self.what[here][self.kind[here] == COMPUTE]
            counts[rank] = np.bincount(calls, minlength=len(self.calls))
        return counts

    def same(self, other: Any) -> bool:
        """Whether the other has the same operations, of the same things, in the same order."""
        return (
            isinstance(other, Graph)
            and (self.calls, self.moves) == (other.calls, other.moves)
            and all(
                np.array_equal(getattr(self, name), getattr(other, name))
                for name in ("first", "kind", "what", "step", "layer")
            )
        )
