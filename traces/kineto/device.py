"""Rows of a rank that computes on a GPU: kernels as they ran, in the order of their launch.

Built from the fields that PyTorch documents for NCCL (`record_param_comms` and the kernels'
arguments). No recording of several GPUs was at hand to hold it against.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from traces.imports.rows import Call, Rows, Wait, Work, tile
from traces.kineto.calls import COLLECTIVES, Asked, Reader
from traces.kineto.events import Event, Recorded
from traces.kineto.host import outermost, places_of, titles_of

if TYPE_CHECKING:
    from collections import Counter

    from numpy.typing import NDArray

_COMMS = "record_param_comms"
_WAIT_TENSOR = "_c10d_functional::wait_tensor"


class Launched(NamedTuple):
    """A transfer asked for by the host, and when its kernel ran; NaN where none was found."""

    comms: Event
    asked: Asked
    start: float
    end: float
    title: str


def device_rows(file: Recorded, reader: Reader, rows: Rows, doubts: Counter[str]) -> int:
    """Fill `rows`; gives the number of steps. `doubts` counts what had to be guessed."""
    caller = file.caller
    events = sorted((e for e in file.calls if e.thread == caller), key=lambda e: (e.start, -e.end))
    doubts["threads"] += len(file.calls) - len(events)
    launched = list(_launched(file, reader, events, doubts))
    work = _work(file)
    places = places_of(file, caller, [(one.comms.start, one.title) for one in launched])
    waits = list(_waits(launched, events, work, doubts))
    calls = [
        Call(one.comms.start, one.asked.moved, one.comms.start, one.end, one.asked.layer)
        for one in launched
    ]
    tile(rows, work, calls, waits, places)
    return places.steps


def _work(file: Recorded) -> Work:
    """Kernels in the order of their launch; one whose launch is unknown, when it ran."""
    start, end = np.array(file.kernels.start), np.array(file.kernels.end)
    by_mark = dict(zip(file.launches.mark, file.launches.start, strict=True))
    order = np.array(
        [by_mark.get(mark, at) for mark, at in zip(file.kernels.mark, start, strict=True)]
    )
    ranked = np.lexsort((start, order))
    return Work(order[ranked], start[ranked], end[ranked], solid=False)


def _launched(
    file: Recorded, reader: Reader, events: Sequence[Event], doubts: Counter[str]
) -> Iterator[Launched]:
    comms = [event for event in events if event.name == _COMMS]
    operators = outermost([event for event in events if event.name.startswith("c10d::")])
    starts = [event.start for event in operators]
    titles = titles_of(file, file.caller, operators)
    asked = []
    for event in comms:
        if event.args.get("Collective name") not in COLLECTIVES:
            continue  # such as the bookkeeping of groups of messages, or a wait
        at = bisect_right(starts, event.start) - 1
        inside = at >= 0 and event.end <= operators[at].end
        title = titles[at] if inside else ""
        found = reader.asked(operators[at] if inside else event, event, None, title)
        if found is None:
            doubts["calls"] += 1
            continue
        for doubt in found.doubts:
            doubts[doubt] += 1
        asked.append((event, found, title))
    spans = _kernels_of(file, [event for event, _, _ in asked])
    for (event, found, title), (start, end) in zip(asked, spans, strict=True):
        yield Launched(event, found, start, end, title)


def _kernels_of(file: Recorded, comms: Sequence[Event]) -> list[tuple[float, float]]:
    """When the kernel of each ran.

    It has the same External id, or was launched next: messages that were batched share a kernel.
    """
    launch_of = dict(zip(file.launches.mark, file.launches.start, strict=True))
    by_id: dict[object, tuple[float, float]] = {}
    in_order: list[tuple[float, float, float]] = []
    for kernel in file.transfers:
        external, mark = kernel.args.get("External id"), kernel.args.get("correlation")
        span = kernel.start, kernel.end
        if type(external) is int:
            first = by_id.get(external, span)
            by_id[external] = min(first[0], span[0]), max(first[1], span[1])
        in_order.append(
            (launch_of.get(mark, kernel.start) if type(mark) is int else kernel.start, *span)
        )
    in_order.sort()
    launches = [launch for launch, _, _ in in_order]
    found = []
    for event in comms:
        external = event.args.get("External id")
        if type(external) is int and external in by_id:
            found.append(by_id[external])
            continue
        at = bisect_right(launches, event.start)
        found.append(in_order[at][1:] if at < len(in_order) else (math.nan, math.nan))
    return found


def _waits(
    launched: Sequence[Launched], events: Sequence[Event], work: Work, doubts: Counter[str]
) -> Iterator[Wait]:
    """Where the compute stream was made to wait; the host goes on meanwhile."""
    recorded = dict(_recorded(launched, events))
    reached = _Reached(work)
    for i, one in enumerate(launched):
        if math.isnan(one.end):
            continue  # nobody saw it end: a problem that the trace itself states
        if i in recorded:
            order = recorded[i]
        elif one.asked.blocks is not False:
            doubts["blocks"] += one.asked.blocks is None
            order = one.comms.end
        else:
            doubts["waits"] += 1
            order = reached.first_after(one.comms.end, one.end)
        # The compute stream stands still from the end of what it was given before.
        yield Wait(order, i, reached.before(order), one.end)


class _Reached:
    """How far the compute stream is, by what the host has launched."""

    def __init__(self, work: Work) -> None:
        self.order = work.order
        self.ends: NDArray[np.float64] = np.maximum.accumulate(work.end)
        self.starts: NDArray[np.float64] = np.maximum.accumulate(work.start)

    def before(self, order: float) -> float:
        """The end of all that was launched before; 0 if nothing was."""
        i = int(np.searchsorted(self.order, order, "left"))
        return float(self.ends[i - 1]) if i else 0.0

    def first_after(self, order: float, instant: float) -> float:
        """When the first kernel was launched that was so after `order` and ran from `instant` on.

        Without one, when the last was launched.
        """
        launched = int(np.searchsorted(self.order, order, "right"))
        i = max(launched, int(np.searchsorted(self.starts, instant, "left")))
        if i < len(self.order):
            return float(self.order[i])
        return max(order, float(self.order.max(initial=order)))


def _recorded(launched: Sequence[Launched], events: Iterable[Event]) -> Iterator[tuple[int, float]]:
    """(number of the transfer, when the host asked to wait for it).

    A wait says which by the number of the collective; wait_tensor is for the first that is open.
    """
    number, waiting = 0, dict[int, None]()  # in the order in which they were asked for
    by_sequence: dict[object, int] = {}
    for event in events:
        while number < len(launched) and launched[number].comms.start < event.start:
            waiting[number] = None
            sequence = launched[number].comms.args.get("Seq")
            if type(sequence) is int:
                by_sequence[sequence] = number
            number += 1
        found = None
        if event.name == _COMMS and event.args.get("Collective name") == "wait":
            sequence = event.args.get("Seq")
            found = by_sequence.pop(sequence, None) if type(sequence) is int else None
        elif event.name == _WAIT_TENSOR:
            found = next(iter(waiting), None)
        if found in waiting:
            del waiting[found]
            yield found, event.start
