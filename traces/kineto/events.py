"""What is kept of a torch.profiler file: of most events two numbers, of transfers everything."""

from __future__ import annotations

import reprlib
import sys
from array import array
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any, NamedTuple

from traces.errors import TraceError
from traces.imports.scan import JsonFile

#: Of one rank; some 40 bytes each are kept.
MOST_EVENTS = 20_000_000
_LATEST_US = 1e16  # 300 years
_NAME = 1000  # characters
#: Of the caller's thread: a transfer, a wait for one, or what wraps either.
_CALLS = ("c10d::", "_c10d_functional::", "_c10d_functional_autograd::", "record_param_comms")
#: What is looked at of an event's arguments; the rest would fill the memory.
_KEPT = frozenset(
    (
        *("Concrete Inputs", "Input Dims", "Input type", "External id", "correlation"),
        *("Collective name", "dtype", "In msg nelems", "In split size", "Group size"),
        *("Process Group Name", "Is asynchronized op", "Src Rank", "Dst Rank", "Seq"),
    )
)
_KERNELS = ("kernel", "gpu_memcpy", "gpu_memset")


class Event(NamedTuple):
    """One of those that are kept whole; seconds since the file's first event."""

    name: str
    thread: str
    start: float
    end: float
    args: dict[str, Any]


class Spans:
    """Start and end of many events, and one number more of each."""

    def __init__(self) -> None:
        self.start = array("d")
        self.end = array("d")
        self.mark = array("q")

    def add(self, start: float, end: float, mark: int = 0) -> None:
        """One event."""
        self.start.append(start)
        self.end.append(end)
        self.mark.append(mark)


class Recorded:
    """One rank's file. Raises TraceError, naming file and event, where it is none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.origin_us: float | None = None
        self.ops: dict[str, Spans] = defaultdict(Spans)  # by thread
        self.kernels = Spans()  # that compute, marked by their correlation
        self.launches = Spans()  # of kernels, marked likewise
        self.calls: list[Event] = []
        self.named: list[Event] = []  # annotations and modules
        self.transfers: list[Event] = []  # kernels of transfers
        file = JsonFile(path)
        number = 0
        for number, event in enumerate(file.elements("traceEvents"), 1):
            if number > MOST_EVENTS:
                raise TraceError(
                    f"{path}: has more than {MOST_EVENTS} events, the most that are read; record "
                    "fewer steps, or without with_stack"
                )
            self._take(event, number - 1)
        self.header = file.header
        if self.origin_us is None:
            raise TraceError(f"{path}: has no events with a duration; was anything profiled?")

    @property
    def origin_ns(self) -> int:
        """When the file's first event began, nanoseconds since 1970 (or since the host booted)."""
        base = self.header.get("baseTimeNanoseconds", 0)
        if type(base) is not int or abs(base) > 2**63:
            raise TraceError(f"{self.path}: baseTimeNanoseconds is {reprlib.repr(base)}")
        return base + round((self.origin_us or 0.0) * 1000)

    @property
    def caller(self) -> str:
        """The thread that asks for transfers; without any, the one with the most operators."""
        callers = Counter(event.thread for event in self.calls)
        most = callers or Counter({thread: len(ops.start) for thread, ops in self.ops.items()})
        return most.most_common(1)[0][0] if most else ""

    def _take(self, event: object, number: int) -> None:
        if not isinstance(event, dict):
            raise TraceError(f"{self.path}: event {number} is no object: {reprlib.repr(event)}")
        if event.get("ph") != "X":
            return
        category, name = event.get("cat"), event.get("name")
        if category == "Trace":  # the window of recording, no event of the program's
            return
        start, end = self._times(event, number)
        args = event.get("args")
        args = args if isinstance(args, dict) else {}
        thread = sys.intern(f"{event.get('pid')} {event.get('tid')}"[:100])
        kept = {key: value for key, value in args.items() if key in _KEPT}
        whole = Event(sys.intern(str(name)[:_NAME]), thread, start, end, kept)
        if category in _KERNELS:
            self._kernel(whole)
        elif category in ("cuda_runtime", "cuda_driver"):
            self.launches.add(start, end, _correlation(args))
        elif whole.name.startswith(_CALLS):
            self.calls.append(whole)
        elif category == "user_annotation" or whole.name.startswith("nn.Module: "):
            self.named.append(whole)
        elif category == "cpu_op":
            self.ops[thread].add(start, end)

    def _kernel(self, event: Event) -> None:
        if event.name.startswith(("nccl", "rccl")):
            self.transfers.append(event)
        else:
            self.kernels.add(event.start, event.end, _correlation(event.args))

    def _times(self, event: dict[str, Any], number: int) -> tuple[float, float]:
        ts = self._number(event.get("ts"), f"event {number}: ts")
        dur = self._number(event.get("dur", 0), f"event {number}: dur")
        if dur < 0:
            raise TraceError(f"{self.path}: event {number}: dur is {dur}; expected 0 or more")
        if self.origin_us is None:
            self.origin_us = ts
        start = (ts - self.origin_us) * 1e-6
        return start, start + dur * 1e-6

    def _number(self, value: object, what: str) -> float:
        real = isinstance(value, int | float) and not isinstance(value, bool)
        if not real or not abs(value) <= _LATEST_US:  # type: ignore[arg-type]
            raise TraceError(f"{self.path}: {what} is {reprlib.repr(value)}; expected microseconds")
        return float(value)  # type: ignore[arg-type]


def _correlation(args: dict[str, Any]) -> int:
    found = args.get("correlation")
    return found if type(found) is int and 0 <= found < 2**62 else -1
