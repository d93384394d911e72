"""Which rank's transfer belongs to which other's, found without a clock: in order, on each line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from string import digits
from typing import TYPE_CHECKING, NamedTuple

from simnet.lowering.graph import MOVE, Move
from simnet.network.network import Line
from simnet.ops import Group
from traces.errors import ScheduleError

if TYPE_CHECKING:
    from simnet.lowering.graph import Graph


class Load(NamedTuple):
    """What an exchange carries, among whom; fields as of simnet.network.network.Exchange."""

    kind: str
    ranks: tuple[int, ...]  # in the order of an algorithm: a root comes first
    nbytes: int
    sizes: tuple[tuple[int, ...], ...] | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Exchange:
    """One message or collective: its line, what it carries, and the members' rows of the graph."""

    line: int
    load: Load
    members: tuple[int, ...]  # ranks, in the order of the line
    rows: tuple[int, ...]  # of the members
    before: int  # the exchange before it on its line; -1: it is the first


def match(graph: Graph) -> list[Exchange]:
    """All exchanges, line after line.

    Raises ScheduleError where members name different things, and where one is missing.
    """
    queues: dict[Line, dict[int, list[int]]] = {}
    for rank in range(graph.ranks):
        first = int(graph.first[rank])
        for place, (kind, what, _, _) in enumerate(graph.program(rank)):
            if kind != MOVE:
                continue
            for line in lines(graph.moves[what], rank):
                queue = queues.setdefault(line, {member: [] for member in line.ranks})
                queue[rank].append(first + place)
    exchanges: list[Exchange] = []
    loads: dict[tuple[int, ...], Load] = {}
    for number, (line, queue) in enumerate(queues.items()):
        if len({len(rows) for rows in queue.values()}) > 1:
            raise ScheduleError(_unpaired(graph, line, queue))
        before = -1
        for rows in zip(*queue.values(), strict=True):
            key = (number, *(int(graph.what[row]) for row in rows))
            load = loads.get(key)
            if load is None:
                load = loads[key] = _load(graph, line, rows)
            exchanges.append(Exchange(number, load, line.ranks, rows, before))
            before = len(exchanges) - 1
    return exchanges


@cache
def lines(move: Move, rank: int) -> tuple[Line, ...]:
    """Where a rank's transfer queues; nowhere, if it is a shift to itself."""
    ranks, stream = move.group.ranks, move.group.name
    if move.kind == "send":
        return (Line(stream, (rank, move.peer), message=True),)
    if move.kind == "recv":
        return (Line(stream, (move.peer, rank), message=True),)
    if move.kind == "shift":
        dst, src = shifted(move, rank)
        both = ((rank, dst), (src, rank))
        return () if dst == rank else tuple(Line(stream, ends, message=True) for ends in both)
    return (Line(stream, ranks),)


def shifted(move: Move, rank: int) -> tuple[int, int]:
    """(the rank that a shift sends to, the rank that it receives from)."""
    ranks = move.group.ranks
    place = ranks.index(rank)
    return ranks[(place + move.peer) % len(ranks)], ranks[(place - move.peer) % len(ranks)]


def _load(graph: Graph, line: Line, rows: Sequence[int]) -> Load:
    moves = [graph.moves[graph.what[row]] for row in rows]
    first = moves[0]
    collective = first.kind not in ("send", "recv", "shift")
    for row, move in zip(rows, moves, strict=True):
        fits = move.name == first.name and _alike(first, move)
        if collective:
            fits = fits and (move.kind, move.peer) == (first.kind, first.peer)
        if not fits:
            raise ScheduleError(
                f"transfers do not match: {_told(graph, rows[0])}, {_told(graph, row)}; "
                "all must name the same thing, of the same shape and type"
            )
    if not collective:
        return Load("send", line.ranks, first.nbytes)
    sizes = _sizes(graph, rows, moves) if first.kind == "all_to_all" else None
    if sizes is not None:
        return Load(first.kind, line.ranks, max(map(sum, sizes)), sizes)
    start = line.ranks.index(first.peer) if first.peer >= 0 else 0
    return Load(first.kind, line.ranks[start:] + line.ranks[:start], first.nbytes)


def _alike(first: Move, other: Move) -> bool:
    """Of one shape, apart from the first dimension where parts differ: see _sizes."""
    if first.sends or other.sends:
        return first.shape.lstrip(digits) == other.shape.lstrip(digits)
    return first.shape == other.shape


def _sizes(
    graph: Graph, rows: Sequence[int], moves: Sequence[Move]
) -> tuple[tuple[int, ...], ...] | None:
    """Bytes of each member's value for each; None where parts are equal."""
    if all(move.sends is None for move in moves):
        return None
    sends, takes = [move.sends or () for move in moves], [move.takes or () for move in moves]
    for place, taken in enumerate(takes):
        if taken != tuple(sent[place] if sent else -1 for sent in sends):
            raise ScheduleError(
                f"transfers do not match: what {_told(graph, rows[place])} takes, {taken}, is not "
                "what the others send it; both ends must name the same numbers of rows"
            )
    return tuple(
        tuple(count * (move.nbytes // max(1, sum(sent))) for count in sent)
        for sent, move in zip(sends, moves, strict=True)
    )


def _unpaired(graph: Graph, line: Line, queue: dict[int, list[int]]) -> str:
    """Who asked for what that nobody joined."""
    most = max(map(len, queue.values()))
    place = min(len(rows) for rows in queue.values())
    asked = next(rows[place] for rows in queue.values() if len(rows) == most)
    absent = [str(rank) for rank, rows in queue.items() if len(rows) <= place]
    group = Group(tuple(sorted(line.ranks)), line.group)
    return (
        f"transfers that nobody joined: {_told(graph, asked)} in group {group.name!r}; "
        f"rank {', '.join(absent)} did not join"
    )


def _told(graph: Graph, row: int) -> str:
    """A transfer, as errors name it."""
    rank = int(graph.first.searchsorted(row, side="right")) - 1
    move = graph.moves[graph.what[row]]
    place = f"step {graph.step[row]}, layer {graph.layer[row]}"
    return f"rank {rank} has {move.kind} {move.name!r} ({place}) of {move.shape or 'nothing'}"
