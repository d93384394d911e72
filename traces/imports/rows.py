"""Builds a rank's rows from what a foreign file tells: in program order, end to end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from traces.columns import ROOTS
from traces.imports.groups import Group
from traces.imports.payload import Payload
from traces.imports.places import Place, Places
from traces.imports.text import plain
from traces.operation import Operation
from traces.parts import parse_parts
from traces.wire import wire_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray

_NO_PAYLOAD = Payload()


class Moved(NamedTuple):
    """A transfer as a file describes it. `peer`: who is sent to or received from, or the root."""

    kind: str
    name: str
    group: Group
    payload: Payload = _NO_PAYLOAD
    peer: int = -1


class Rows:
    """A rank's rows; times in seconds on whatever clock the caller has."""

    def __init__(self, rank: int) -> None:
        self.rank = rank
        self.done: list[Operation] = []
        self.clock_s = -math.inf  # how far the compute stream is
        self.place = Place(0, -1, "")

    def compute(
        self, name: str, start_s: float, end_s: float, cost_s: float, shape: str = ""
    ) -> None:
        """A stretch of the compute stream. What overlaps an earlier row is cut off its start."""
        start_s = max(start_s, self.clock_s)
        end_s = max(end_s, start_s)
        row = self._row("compute", "compute", name, start_s, end_s)
        row.cost_s, row.shape = cost_s, shape
        self.clock_s = end_s

    def transfer(self, moved: Moved, start_s: float, end_s: float) -> int:
        """Asked for at `start_s`, and complete at `end_s` or never seen to be (NaN). Its seq."""
        start_s = max(start_s, self.clock_s)
        end_s = max(end_s, start_s)  # a NaN, being first, remains
        row = self._row(moved.group.name, moved.kind, moved.name, start_s, end_s)
        described = moved.payload
        row.group, row.shape, row.parts = moved.group.text, described.shape, described.parts
        row.bytes = 0 if moved.kind in ("recv", "barrier") else described.nbytes
        if moved.kind == "barrier":
            row.shape = ""
        if moved.kind in ("send", "shift") or ROOTS.get(moved.kind) == "dst":
            row.dst = moved.peer
        if moved.kind in ("recv", "shift") or ROOTS.get(moved.kind) == "src":
            row.src = moved.peer
        row.wire_bytes = self._on_wire(row, moved)
        self.clock_s = start_s
        return row.seq

    def wait(self, seq: int, start_s: float, end_s: float) -> None:
        """For the transfer with this seq."""
        start_s = max(start_s, self.clock_s)
        end_s = max(end_s, start_s)
        row = self._row("compute", "wait", self.done[seq].name, start_s, end_s)
        row.waits_for = seq
        self.clock_s = end_s

    def _on_wire(self, row: Operation, moved: Moved) -> int:
        parts = parse_parts(row.parts, row.group, row.bytes) or () if row.parts else ()
        if row.parts and not parts:
            row.parts = ""  # in the group's own order they would not be the trace's
        root = moved.peer if moved.kind in ROOTS else -1
        ranks = moved.group.ranks
        return wire_bytes(moved.kind, row.bytes, ranks, self.rank, root=root, parts=parts)

    def _row(self, stream: str, kind: str, name: str, start_s: float, end_s: float) -> Operation:
        place = self.place
        row = Operation(
            self.rank, len(self.done), stream, kind, plain(name), place.step, place.layer, start_s
        )
        row.end_s = end_s
        row.host_s = max(0.0, start_s - self.clock_s) if self.done else 0.0
        self.done.append(row)
        return row


class Call(NamedTuple):
    """A transfer in the order of the host: asked for at `order`, under way from start to end."""

    order: float
    moved: Moved
    start: float
    end: float
    layer: int | None = None  # to which it says itself that it belongs


class Wait(NamedTuple):
    """For the call with this number; `order` as of Call."""

    order: float
    call: int
    start: float
    end: float


class Work(NamedTuple):
    """What was computed: arrays of one length, sorted by `order`, when the host asked for it.

    `solid`: whether what lies between two of them with nothing else between belongs to them too.
    """

    order: NDArray[np.float64]
    start: NDArray[np.float64]
    end: NDArray[np.float64]
    solid: bool


def tile(
    rows: Rows, work: Work, calls: Sequence[Call], waits: Sequence[Wait], places: Places
) -> None:
    """All rows of a rank, in the order in which the host asked for them.

    Work with no call, wait or change of place in between is one row: as long as it lasted where the
    work is solid, else as long as something ran, the rest being counted as the host's before it.
    """
    between = np.array(sorted([*(c.order for c in calls), *(w.order for w in waits)]))
    edges = np.array(places.edges)
    # Which items, and which edges of places, precede each piece of work: alike, it is one row.
    passed = np.searchsorted(between, work.order, "right")
    inside = np.searchsorted(edges, work.order, "right")
    cuts = np.flatnonzero(np.diff(passed) | np.diff(inside)) + 1
    bounds = [0, *cuts.tolist(), len(work.order)] if len(work.order) else []
    items: list[tuple[float, int, int]] = []  # order, sort, index
    items += [(float(work.order[low]), 2, i) for i, low in enumerate(bounds[:-1])]
    items += [(call.order, 0, i) for i, call in enumerate(calls)]
    items += [(wait.order, 1, i) for i, wait in enumerate(waits)]
    seqs: dict[int, int] = {}
    counts: dict[tuple[int, int], int] = {}
    for order, sort, i in sorted(items):
        place = places.at(order)
        if sort == 0:
            rows.place = _own(place, calls[i])
            seqs[i] = rows.transfer(calls[i].moved, calls[i].start, calls[i].end)
        elif sort == 1:
            rows.place = _own(place, calls[waits[i].call])
            rows.wait(seqs[waits[i].call], waits[i].start, waits[i].end)
        else:
            rows.place = place
            number = counts[place[:2]] = counts.get(place[:2], -1) + 1
            name = f"{place.label}[{number}]" if place.label else "compute"
            _segment(rows, work, slice(bounds[i], bounds[i + 1]), name)


def _own(place: Place, call: Call) -> Place:
    return place if call.layer is None else place._replace(layer=call.layer)


def _segment(rows: Rows, work: Work, part: slice, name: str) -> None:
    start, end = float(work.start[part].min()), float(work.end[part].max())
    start = max(start, rows.clock_s)
    busy = max(0.0, end - start) if work.solid else _union(work.start[part], work.end[part], start)
    rows.compute(name, end - busy, end, busy)


def _union(starts: NDArray[np.float64], ends: NDArray[np.float64], least: float) -> float:
    """How long something ran from `least` on."""
    by_start = np.argsort(starts, kind="stable")
    first = np.maximum(starts[by_start], least)
    reach = np.maximum.accumulate(np.maximum(ends[by_start], least))
    before = np.concatenate([[least], reach[:-1]])
    return float(np.maximum(0.0, reach - np.maximum(first, before)).sum())
