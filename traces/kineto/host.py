"""Rows of a rank that computes on the CPU: its caller's thread, and the threads that transfer."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import defaultdict, deque
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from traces.imports.places import Annotation, Places, tag
from traces.imports.rows import Call, Rows, Wait, Work, tile
from traces.kineto.calls import OPERATORS, Asked, Reader, tensors_in
from traces.kineto.events import Event, Recorded, Spans

if TYPE_CHECKING:
    from collections import Counter

    from numpy.typing import NDArray

_WAIT = "_c10d_functional::wait_tensor"
#: What gloo does by another name: it shares out a sum by making all of it everywhere.
_FAMILY = {"reduce_scatter": "all_reduce"}


class Asking(NamedTuple):
    """A call, what carried it out, and what of both could be understood."""

    call: Event
    work: Event | None
    asked: Asked
    title: str


def host_rows(file: Recorded, reader: Reader, rows: Rows, doubts: Counter[str]) -> int:
    """Fill `rows`; gives the number of steps. `doubts` counts what had to be guessed."""
    caller = file.caller
    events = sorted((e for e in file.calls if e.thread == caller), key=lambda e: (e.start, -e.end))
    doubts["threads"] += len(file.calls) - len(events)
    outer = outermost(events)
    askings = list(understood(file, reader, events, doubts))
    ops = file.ops.get(caller, Spans())
    work = _work(ops, outer)
    places = places_of(file, caller, [(a.call.start, a.title) for a in askings])
    calls = [
        Call(a.call.start, a.asked.moved, a.call.start, _end(a), a.asked.layer) for a in askings
    ]
    waits = list(_waits(askings, events, _Busy(work, outer), doubts))
    tile(rows, work, calls, waits, places)
    return places.steps


def understood(
    file: Recorded, reader: Reader, events: Sequence[Event], doubts: Counter[str]
) -> Iterable[Asking]:
    """The caller's transfers, each with what carried it out on the host, if anything did."""
    inner = outermost([event for event in events if event.name.startswith("c10d::")])
    works, titles = _carried_out(file, inner), titles_of(file, file.caller, inner)
    for call, work, title in zip(inner, works, titles, strict=True):
        asked = reader.asked(call, None, work, title)
        if asked is None:
            doubts["calls"] += 1
            continue
        for doubt in asked.doubts:
            doubts[doubt] += 1
        yield Asking(call, work, asked, title)


def places_of(file: Recorded, caller: str, titled: Iterable[tuple[float, str]]) -> Places:
    """Steps and layers, by the annotations of the caller's thread and the titles of transfers."""
    named = [Annotation(e.name, e.start, e.end) for e in file.named if e.thread == caller]
    tags = [(at, said) for at, title in titled if (said := tag(title))]
    return Places(named, tags)


def outermost(events: Sequence[Event]) -> list[Event]:
    """Those that lie in no other; `events` come by start, the longest first."""
    found: list[Event] = []
    for event in events:
        if not found or event.start >= found[-1].end:
            found.append(event)
    return found


def _carried_out(file: Recorded, calls: Sequence[Event]) -> list[Event | None]:
    """For each call the event that lasts until its transfer is complete, "gloo:all_gather".

    gloo carries out what is asked for in the order in which it is asked for, on whatever thread:
    so it is the first of its kind that begins after the call did, and is no earlier call's.
    """
    lasting: dict[str, deque[Event]] = defaultdict(deque)
    for event in sorted(file.named, key=lambda e: e.start):
        backend, colon, kind = event.name.partition(":")
        if colon and backend == "gloo":
            lasting[_FAMILY.get(kind, kind)].append(event)
    found: list[Event | None] = []
    for call in calls:
        signature = OPERATORS.get(call.name)
        kind = signature.kind if signature else ""
        queue = lasting[_FAMILY.get(kind, kind)]
        while queue and queue[0].start < call.start:
            queue.popleft()  # of a call from before the recording
        found.append(queue.popleft() if queue else None)
    return found


def titles_of(file: Recorded, caller: str, calls: Sequence[Event]) -> list[str]:
    """For each call what record_comm named it, "" where it did not."""
    starts = [call.start for call in calls]
    titles = [""] * len(calls)
    for event in file.named:
        i = bisect_right(starts, event.start) - 1
        inside = i >= 0 and event.end <= calls[i].end and event.thread == caller
        if inside and not event.name.startswith("gloo:"):
            titles[i] = event.name
    return titles


def _end(asking: Asking) -> float:
    return asking.work.end if asking.work else asking.call.end


def _work(ops: Spans, calls: Sequence[Event]) -> Work:
    """Operators of the thread that lie in no other one and in no call."""
    start, end = np.array(ops.start), np.array(ops.end)
    order = np.lexsort((-end, start))
    start, end = start[order], end[order]
    reach = np.concatenate([[-np.inf], np.maximum.accumulate(end)[:-1]]) if len(end) else end
    top = start >= reach
    start, end = start[top], end[top]
    start, end = _without(start, end, calls)
    return Work(start, start, end, solid=True)


def _without(
    start: NDArray[np.float64], end: NDArray[np.float64], calls: Sequence[Event]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """What is left of stretches, sorted and apart, when those of calls are cut out of them.

    An operator may hold a call: one that needs the result of a collective waits for it inside.
    """
    if not calls or not len(start):
        return start, end
    opens, closes = (
        np.array(times) for times in zip(*((c.start, c.end) for c in calls), strict=True)
    )
    edges = np.sort(np.concatenate([start, end, opens, closes]))
    low, high = edges[:-1], edges[1:]
    in_work = np.searchsorted(start, low, "right") > np.searchsorted(end, low, "right")
    in_call = np.searchsorted(opens, low, "right") > np.searchsorted(closes, low, "right")
    left = in_work & ~in_call & (high > low)
    return low[left], high[left]


class _Busy:
    """When the caller's thread was in an operator or a call."""

    def __init__(self, work: Work, calls: Sequence[Event]) -> None:
        starts = np.concatenate([work.start, [call.start for call in calls]])
        ends = np.concatenate([work.end, [call.end for call in calls]])
        order = np.argsort(starts, kind="stable")
        self.starts: list[float] = starts[order].tolist()
        reach: NDArray[np.float64] = np.maximum.accumulate(ends[order])
        self.ends: list[float] = reach.tolist()

    def idle_at(self, instant: float) -> tuple[float, float]:
        """The idle stretch that holds the instant, until then; empty where it was busy."""
        i = bisect_left(self.ends, instant)
        if i < len(self.ends) and self.starts[i] < instant:
            return self.ends[i], self.ends[i]
        return (self.ends[i - 1] if i else instant), instant


def _waits(
    askings: Sequence[Asking], events: Sequence[Event], busy: _Busy, doubts: Counter[str]
) -> Iterable[Wait]:
    recorded = dict(recorded_waits(askings, events))
    for i, asking in enumerate(askings):
        call, end = asking.call, _end(asking)
        began = asking.work.start if asking.work else call.start
        if i in recorded:
            yield Wait(recorded[i].start, i, recorded[i].start, recorded[i].end)
        elif asking.asked.blocks or end <= call.end:
            yield Wait(call.end, i, max(call.start, min(began, call.end)), end)
        else:
            start, until = busy.idle_at(end)
            doubts["waits"] += start > call.end
            start = max(start, call.end)
            yield Wait(start, i, start, max(start, until))


def recorded_waits(
    askings: Sequence[Asking], events: Sequence[Event]
) -> Iterable[tuple[int, Event]]:
    """(number of the asking, the wait for it) for each wait that has an event of its own.

    It is for the first call before it that brings a tensor of such lengths, and is not waited for.
    """
    wrapped = [e for e in events if e.name.startswith("_c10d") and e.name != _WAIT]
    starts = [event.start for event in wrapped]
    pending = []
    for i, asking in enumerate(askings):
        at = bisect_right(starts, asking.call.start) - 1
        if at >= 0 and asking.call.end <= wrapped[at].end:
            pending.append(i)
    number, waiting = 0, dict[int, None]()  # in the order in which they were asked for
    bringing: dict[tuple[int, ...], deque[int]] = defaultdict(deque)
    for wait in events:
        if wait.name != _WAIT:
            continue
        while number < len(pending) and askings[pending[number]].call.start < wait.start:
            waiting[pending[number]] = None
            for tensor in _brought(askings[pending[number]].call):
                bringing[tensor].append(pending[number])
            number += 1
        lengths = _brought(wait)
        fitting = bringing[lengths[0]] if lengths else deque[int]()
        while fitting and fitting[0] not in waiting:
            fitting.popleft()
        found = fitting[0] if fitting else next(iter(waiting), None)
        if found is not None:
            del waiting[found]
            yield found, wait


def _brought(event: Event) -> list[tuple[int, ...]]:
    """Different lengths of the tensors in its first argument, which for a call it writes."""
    dims = event.args.get("Input Dims")
    first = dims[0] if isinstance(dims, list) and dims else None
    return list(dict.fromkeys(map(tuple, tensors_in(first))))
