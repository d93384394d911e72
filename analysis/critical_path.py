"""Which operations and transfers a run's length is made of, followed back from its end.

Making anything on the critical path shorter makes the run shorter, until another path is longer.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pandas as pd

from analysis.exchanges import exchanges, places
from traces.errors import TraceError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from traces.trace import Trace

#: What a stretch of the path is. "host" is a rank between operations, or late to see that its
#: transfer is over; "idle" a gap that the trace does not explain; "unknown" a transfer of which
#: some rank's rows are missing, which may have come late.
KINDS = ("compute", "transfer", "host", "idle", "unknown")
COLUMNS = (
    "rank", "seq", "kind", "name", "step", "layer", "line", "start_s", "end_s", "length_s",
)  # fmt: skip
_EXPLAINED = 1e-6  # of a gap: what is less than this unexplained is rounding


def critical_path(trace: Trace) -> pd.DataFrame:
    """The stretches of the critical path, first to last: COLUMNS, without gap or overlap.

    From 0 to the end of the last compute or wait, so `length_s` (in seconds) adds up to the run's
    length. Followed back from that end: what a rank did before; from the end of a wait to the
    transfer that it was for; from a transfer to what let it start last, which is a rank that asked
    for it, or the exchange before on its line. `rank` and `seq` say which row; a transfer's
    `line` is its communicator, or sender and receiver, and its time what it took once it could
    start. Rows that took no time are left out. In `attrs`: total_s, evidence, summary, and
    gaps, what is not known of it and why.

    Raises TraceError where no rank computed or waited, and for rows that contradict each other.
    """
    ops = trace.ops
    stream = ops[ops["stream"] == "compute"]
    if stream.empty:
        raise TraceError("no rank computed or waited in this trace, so no path leads to its end")
    walk = _Walk(trace)
    last = stream.iloc[int(stream["end_s"].argmax())]
    walk.back(int(last["rank"]), int(last["seq"]), float(last["end_s"]))
    path = pd.DataFrame(walk.stretches[::-1], columns=list(COLUMNS[:-1]))
    path["length_s"] = path["end_s"] - path["start_s"]
    gaps = (*trace.problems, *sorted(walk.gaps))
    path.attrs = {
        "total_s": float(last["end_s"]), "evidence": trace.run.evidence, "gaps": "; ".join(gaps),
    }  # fmt: skip
    parts = (f"{row.share:.0%} {row.kind}" for row in shares(path).itertuples())
    path.attrs["summary"] = ", ".join(parts)
    return path


def shares(path: pd.DataFrame, by: Sequence[str] = ("kind",)) -> pd.DataFrame:
    """Seconds of a critical path and their share of it, the largest first, by these columns.

    ("line",) tells which communicators and messages bound the run ("" is no transfer), ("rank",)
    whose time it was. Columns: by, length_s, share (of the run's length).
    """
    sums = path.groupby(list(by), sort=True)["length_s"].sum().reset_index()
    sums["share"] = sums["length_s"] / path.attrs["total_s"] if path.attrs["total_s"] else math.nan
    order = sums.sort_values("length_s", ascending=False, kind="stable").reset_index(drop=True)
    order.attrs = dict(path.attrs)
    return order


def shares_by_kind_and_line(trace: Trace) -> pd.DataFrame:
    """What the critical path of a run is made of: `shares` by kind, line and name."""
    return shares(critical_path(trace), ("kind", "line", "name"))


class _Part(NamedTuple):
    """A transfer's part in one line."""

    line: str
    ordinal: int


class _Start(NamedTuple):
    """What let a transfer start: a rank that asked for it, or the exchange before."""

    at_s: float
    part: _Part
    row: Any
    queued: bool


class _Rank:
    """One rank's rows, to be found by seq."""

    def __init__(self, rows: pd.DataFrame) -> None:
        self.first = int(rows["seq"].iloc[0])
        stream = rows[rows["stream"] == "compute"]
        self.seq: NDArray[np.int64] = stream["seq"].to_numpy()
        self.stream: list[Any] = list(stream.itertuples(index=False))
        self.host_s = np.concatenate([[0.0], np.cumsum(rows["host_s"].to_numpy())])

    def before(self, seq: int) -> Any:
        """The last compute or wait before this row; None where there is none."""
        place = int(np.searchsorted(self.seq, seq)) - 1
        return self.stream[place] if place >= 0 else None

    def host_between(self, after: int, until: int) -> float:
        """Time of the host before rows after one and up to another."""
        ends = (np.array([after, until]) + 1 - self.first).clip(0, len(self.host_s) - 1)
        return float(self.host_s[ends[1]] - self.host_s[ends[0]])


class _Walk:
    """From the end of a run to its beginning."""

    def __init__(self, trace: Trace) -> None:
        self.ranks = {int(str(rank)): _Rank(rows) for rank, rows in trace.ops.groupby("rank")}
        placed = places(trace)
        joined = exchanges(placed)
        self.end_s: Any = joined["end_s"].to_dict()
        self.whole: Any = (joined["ranks"] == joined["members"]).to_dict()
        self.places: dict[tuple[int, int], list[_Part]] = {}
        self.parts: dict[_Part, list[Any]] = {}
        rows: Any = placed.itertuples(index=False)
        for row in rows:
            part = _Part(row.line, row.ordinal)
            self.places.setdefault((row.rank, row.seq), []).append(part)
            self.parts.setdefault(part, []).append(row)
        self.transfers = {(row.rank, row.seq): row for rows in self.parts.values() for row in rows}
        self.stretches: list[tuple[Any, ...]] = []  # the last one first
        self.gaps: set[str] = set()
        self.turns = 2 * len(trace.ops) + 2  # no path is longer

    def back(self, rank: int, seq: int, now_s: float) -> None:
        """All the way from the end of this row of the compute stream, at `now_s`."""
        row: Any = self.ranks[rank].before(seq + 1)
        while True:
            self._turn(rank, seq)
            waited = row.kind == "wait" and self._waited(row, now_s)
            if waited:
                rank, seq, now_s = waited
            else:
                rank, seq = row.rank, row.seq
                kind = "host" if row.kind == "wait" else "compute"
                now_s = self._add(row, kind, row.start_s, now_s)
            row = self.ranks[rank].before(seq)
            now_s = self._gap(rank, seq, row, now_s)
            if row is None:
                return

    def _turn(self, rank: int, seq: int) -> None:
        self.turns -= 1
        if self.turns < 0:
            raise TraceError(
                f"rank {rank}, operation {seq}: going back from here comes back to it; times of "
                "different ranks contradict each other, so record them with one clock"
            )

    def _waited(self, wait: Any, now_s: float) -> tuple[int, int, float] | None:
        """Through the transfers that ended this wait, to the row that asked last, and when.

        None where the transfer was over before.
        """
        row: Any = self.transfers.get((wait.rank, wait.waits_for))
        if row is None:
            return None
        over_s = now_s if math.isnan(row.end_s) else min(row.end_s, now_s)
        if math.isnan(row.end_s):
            self.gaps.add(f"rank {row.rank}: the end of transfer {row.seq} was not recorded")
        if over_s <= wait.start_s:
            return None
        now_s = self._add(wait, "host", over_s, now_s)
        while True:
            self._turn(row.rank, row.seq)
            start = max(
                (self._start(part, row, now_s) for part in self.places[row.rank, row.seq]),
                key=lambda start: (start.at_s, self.end_s[start.part] == row.end_s),
            )
            now_s = self._transferred(row, start, now_s)
            row = start.row
            if not start.queued:
                return row.rank, row.seq, now_s

    def _start(self, part: _Part, own: Any, end_s: float) -> _Start:
        """When a part of a transfer could start that ended then, and what let it.

        What came after the end cannot have been waited for: a message may be on its way before its
        receiver asks. Of a shift's two lines, the one that could start later counts.
        """
        asked: list[Any] = [row for row in self.parts[part] if row.start_s <= end_s]
        last: Any = max([own, *asked], key=lambda row: row.start_s)
        before = _Part(part.line, part.ordinal - 1)
        free_s = self.end_s.get(before, math.nan)
        if not last.start_s < free_s <= end_s:
            return _Start(last.start_s, part, last, queued=False)
        rows = self.parts[before]
        latest = max(rows, key=lambda row: (row.takes, row.end_s))
        return _Start(free_s, part, latest, queued=True)

    def _transferred(self, row: Any, start: _Start, end_s: float) -> float:
        whole, line = self.whole[start.part], start.part.line
        if not whole:
            self.gaps.add(f"{line}: rows of some of its ranks are missing")
        kind = "transfer" if whole else "unknown"
        return self._add(row, kind, start.at_s, end_s, line)

    def _gap(self, rank: int, seq: int, before: Any, now_s: float) -> float:
        """What a rank did between two rows: the host's time as far as it goes, then nothing."""
        after, since_s, place = -1, 0.0, (-1, -1)
        if before is not None:
            after, since_s, place = before.seq, before.end_s, (before.step, before.layer)
        host_s = self.ranks[rank].host_between(after, seq)
        begin_s = max(since_s, now_s - host_s)
        if begin_s - since_s <= _EXPLAINED * (now_s - since_s):
            begin_s = since_s
        for kind, start_s in (("host", begin_s), ("idle", since_s)):
            if start_s < now_s:
                self.stretches.append((rank, seq, kind, "", *place, "", start_s, now_s))
                now_s = start_s
        return now_s

    def _add(self, row: Any, kind: str, start_s: float, end_s: float, line: str = "") -> float:
        start_s = min(start_s, end_s)
        if start_s < end_s:
            self.stretches.append(
                (row.rank, row.seq, kind, row.name, row.step, row.layer, line, start_s, end_s)
            )
        return start_s
