"""The seam between schedules and networks: a network is asked to carry one matched transfer."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import simpy


class Line(NamedTuple):
    """What keeps exchanges in order: a communicator, or one direction between two of its ranks."""

    group: str
    ranks: tuple[int, ...]
    message: bool = False  # a communicator of two ranks is not one of its directions


class Exchange(NamedTuple):
    """A transfer that all its members have reached.

    A shift is as many exchanges of kind "send" as it has senders, so an exchange is either one
    message (`ranks` = sender, receiver) or one collective.
    """

    kind: str  # "send", or that of a collective (traces.columns.COLLECTIVES)
    ranks: tuple[int, ...]
    nbytes: int  # what one member brings; where that differs, the most
    line: Line
    ordinal: int  # how many exchanges this line carried before
    since_s: tuple[float, ...]  # since when each member has been ready for it
    #: Of an all-to-all of parts that differ: bytes of each member's value for each, its own too.
    sizes: tuple[tuple[int, ...], ...] | None = None
    root: int | None = None  # the rank that is it, of a collective that has one

    def from_root(self) -> tuple[int, ...]:
        """The ranks in their order, round from the root: it is the first of an algorithm's."""
        start = 0 if self.root is None else self.ranks.index(self.root)
        return self.ranks[start:] + self.ranks[:start]


class Queued(Protocol):
    """A row of a transfer, while it is made or from a trace."""

    rank: int
    stream: str
    kind: str
    dst: int
    src: int


def lines(row: Queued, ranks: tuple[int, ...]) -> list[Line]:
    """Where a transfer queues; none for a shift of a rank to itself. `ranks` are its group's."""
    if row.kind == "send":
        places = [(row.rank, row.dst)]
    elif row.kind == "recv":
        places = [(row.src, row.rank)]
    elif row.kind == "shift":
        places = [(row.rank, row.dst), (row.src, row.rank)] if row.dst != row.rank else []
    else:
        return [Line(row.stream, ranks)]
    return [Line(row.stream, place, message=True) for place in places]


class Traffic(Protocol):
    """A network in use, with all that is on its way through it."""

    def carry(self, exchange: Exchange) -> list[simpy.Event]:
        """One event per member, in the order of `exchange.ranks`: its part is complete."""
        ...


class Network(Protocol):
    """Anything that knows how long transfers take, alone and next to each other."""

    @property
    def name(self) -> str:
        """For tables and figures."""
        ...

    def traffic(self, env: simpy.Environment) -> Traffic:
        """An idle network on this clock."""
        ...
