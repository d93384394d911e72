"""A trace as a picture to zoom into: JSON for ui.perfetto.dev and chrome://tracing.

A process is a rank, a thread one of its streams; where transfers of a stream overlap they are
spread over further threads of that name, as few as will do, because slices of one thread must not
cross. An arrow leads from each transfer to the waits for it, and from each message that is sent to
the one that receives it. (Collectives have none among their members: there would be so many that
nothing could be seen.) The format is documented as the "Trace Event Format" of Chromium. One rank's
rows are in memory at a time.
"""

from __future__ import annotations

import gzip
import io
import json
import math
from collections import Counter
from collections.abc import Iterator
from itertools import groupby, starmap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from traces.columns import MESSAGES
from traces.files import replacing
from traces.operation import Operation

if TYPE_CHECKING:
    import pandas as pd

    from traces.trace import Trace

Event = dict[str, Any]

ARGS = ("seq", "step", "layer", "bytes", "wire_bytes", "shape")


def write(trace: Trace, path: str | Path) -> None:
    """Write the file; compressed where its name ends in ".gz". The same trace, the same bytes.

    Raises TraceError where rows make no sense, RunError where the file cannot be written.
    """
    path = Path(path)
    with replacing(path) as temporary, temporary.open("wb") as raw:
        if path.suffix == ".gz":
            with gzip.GzipFile("", "wb", mtime=0, fileobj=raw) as packed:
                _write(trace, packed)
        else:
            _write(trace, raw)


def _write(trace: Trace, file: io.BufferedIOBase) -> None:
    file.write(b'{"displayTimeUnit":"ns","traceEvents":[')
    separator = "\n"
    for event in events(trace):
        file.write((separator + json.dumps(event, separators=(",", ":"))).encode())
        separator = ",\n"
    file.write(b"\n]}\n")


def events(trace: Trace) -> Iterator[Event]:
    """The trace's events: of each rank its slices in the order of their start, then its names."""
    import pandas as pd

    for rank, frames in groupby(trace.scan(), lambda rows: int(rows["rank"].iloc[0])):
        rows = pd.concat(list(frames), ignore_index=True)
        yield from _rank_events(rank, rows)


def _rank_events(rank: int, rows: pd.DataFrame) -> Iterator[Event]:
    threads = _Threads()
    last_ns = _ns(float(np.nanmax(rows[["start_s", "end_s"]])))
    awaited = set(rows["waits_for"])
    places = _places(rows)
    by_start = rows.sort_values("start_s", kind="stable")
    for done in starmap(Operation, by_start.itertuples(index=False, name=None)):
        slice_ = _slice(done, threads, last_ns)
        if done.kind == "wait":
            slice_ |= {"bind_id": _arrow(rank, done.waits_for), "flow_in": True}
        elif done.seq in awaited:
            slice_ |= {"bind_id": _arrow(rank, done.seq), "flow_out": True}
        yield slice_
        for end, line in places.get(done.seq, ()):
            yield _message(slice_, end, line)
    yield from threads.names(rank)


def _places(rows: pd.DataFrame) -> dict[int, list[tuple[str, str]]]:
    """By seq, the ends of arrows between ranks: "s" where one begins, "f" where it ends, its id.

    Messages of a communicator from one rank to another arrive in the order in which they were sent,
    so that both ranks can count them, and give the same id, by themselves.
    """
    counts: Counter[str] = Counter()
    ends: dict[int, list[tuple[str, str]]] = {}
    messages = rows[rows["kind"].isin(MESSAGES)]
    columns = ("rank", "seq", "stream", "kind", "dst", "src")
    for rank, seq, stream, kind, dst, src in zip(*(messages[c] for c in columns), strict=True):
        halves = [("s", f"{stream} {rank}>{dst}")] if kind in ("send", "shift") else []
        halves += [("f", f"{stream} {src}>{rank}")] if kind in ("recv", "shift") else []
        for end, line in halves:
            counts[line] += 1
            ends.setdefault(seq, []).append((end, f"{line} {counts[line]}"))
    return ends


def _message(slice_: Event, end: str, line: str) -> Event:
    """One end of an arrow between ranks: from the start of a slice to just before another's end."""
    late = max(0.0, slice_["dur"] - 0.001) if end == "f" else 0.0
    event = {
        "ph": end,
        "id": line,
        "cat": "message",
        "name": "message",
        "pid": slice_["pid"],
        "tid": slice_["tid"],
        "ts": slice_["ts"] + late,
    }
    return event | {"bp": "e"} if end == "f" else event


def _slice(done: Operation, threads: _Threads, last_ns: int) -> Event:
    """A complete event in microseconds; what was never seen to end lasts until the rank's last."""
    ended = not math.isnan(done.end_s)
    start_ns, end_ns = _ns(done.start_s), _ns(done.end_s) if ended else last_ns
    return {
        "ph": "X",
        "pid": _pid(done.rank),
        "tid": threads.place(done.stream, start_ns, end_ns),
        "ts": start_ns / 1000,
        "dur": (end_ns - start_ns) / 1000,
        "cat": done.kind,
        "name": done.name if ended else f"{done.name} (never seen to end)",
        "args": {name: getattr(done, name) for name in ARGS} | _parts(done),
    }


def _parts(done: Operation) -> Event:
    """Only of an all-to-all that has parts of different sizes."""
    return {"parts": done.parts} if done.parts else {}


class _Threads:
    """A rank's threads, and when each is free again."""

    def __init__(self) -> None:
        self.streams: list[str] = []
        self.free_ns: list[int] = []

    def place(self, stream: str, start_ns: int, end_ns: int) -> int:
        """The tid, from 1, of the stream's first thread that is free. Slices come by start."""
        threads = enumerate(zip(self.streams, self.free_ns, strict=True))
        free = (i for i, (name, free_ns) in threads if name == stream and free_ns <= start_ns)
        index = next(free, len(self.streams))
        if index == len(self.streams):
            self.streams.append(stream)
            self.free_ns.append(0)
        self.free_ns[index] = end_ns
        return index + 1

    def names(self, rank: int) -> Iterator[Event]:
        """What to call the process and the threads, and their order."""
        yield _label("process_name", rank, 0, name=f"rank {rank}")
        yield _label("process_sort_index", rank, 0, sort_index=rank)
        for tid, stream in enumerate(self.streams, 1):
            yield _label("thread_name", rank, tid, name=stream)
            yield _label("thread_sort_index", rank, tid, sort_index=tid)


def _label(what: str, rank: int, tid: int, **args: Any) -> Event:
    return {"ph": "M", "pid": _pid(rank), "tid": tid, "name": what, "args": args}


def _pid(rank: int) -> int:
    """From 1: Perfetto drops what is of process 0."""
    return rank + 1


def _ns(time_s: float) -> int:
    """Whole nanoseconds, which is what viewers keep: so that slices that touch do not cross."""
    return round(time_s * 1e9)


def _arrow(rank: int, seq: int) -> str:
    """Identifies a transfer's arrows in the file."""
    return hex((rank << 32) + seq + 1)
