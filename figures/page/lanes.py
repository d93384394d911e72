"""Operations as lanes of a timeline, small enough to travel in a page: for JavaScript to draw."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from traces.errors import TraceError

if TYPE_CHECKING:
    from traces.trace import Trace

Json = dict[str, Any]

#: Bars of all traces of a page together; one takes some 25 bytes.
MOST_BARS = 120_000
MOST_RANKS = 64
#: Of a lane, for transfers that overlap; more are drawn over each other in the last.
MOST_ROWS = 6
# Times are whole numbers of a tick, a power of ten of seconds: so many at most in a trace.
_MOST_TICKS = 1e10
_LANE = ["rank", "place", "stream"]
#: What bars have in common with many others, so that it is told once.
WHAT = ("kind", "name", "layer", "bytes", "wire_bytes", "ended", "count", "busy")


def lanes(trace: Trace, most: int = MOST_BARS) -> Json:
    """A trace's lanes, one for each rank and stream, of about `most` bars or fewer, and its steps.

    Where there are more operations, short neighbours of a lane and kind become one bar, which says
    how many it stands for (count) and how long they took in all (busy). `note` says what was left
    out or put together; it is empty where nothing was. Times are in ticks; `start` holds the
    differences from bar to bar, `what` places in `whats`, whose columns are WHAT. Raises
    TraceError for a trace in which nothing took any time.
    """
    ranks = sorted(trace.ops["rank"].unique())
    shown = trace.ops[trace.ops["rank"].isin(ranks[:MOST_RANKS])]
    until_s = float(np.nanmax(shown[["start_s", "end_s"]]))
    if until_s <= 0:
        raise TraceError("nothing in this trace took any time, so there is nothing to draw")
    tick_s = 10.0 ** math.ceil(math.log10(until_s / _MOST_TICKS))
    bars = _bars(shown, until_s, tick_s)
    pooled = _pool(bars, most)
    pooled["what"] = pooled.groupby(list(WHAT), sort=False).ngroup()
    whats = pooled.drop_duplicates("what").sort_values("what")[list(WHAT)]
    return {
        "tick_s": tick_s,
        "until": int(bars["end"].max()),
        "note": " ".join(_notes(bars, pooled, len(ranks))),
        "whats": whats.to_numpy(dtype=object).tolist(),
        "lanes": [_lane(rows) for _, rows in pooled.groupby(_LANE)],
        "steps": _steps(shown, tick_s),
    }


def shares(sizes: Sequence[int], most: int = MOST_BARS) -> list[int]:
    """How many bars each of several traces may have: what one does not need, others get."""
    given = [0] * len(sizes)
    for others, place in enumerate(sorted(range(len(sizes)), key=sizes.__getitem__)):
        room = (most - sum(given)) // (len(sizes) - others)
        given[place] = min(sizes[place], room)
    return given


def _bars(ops: pd.DataFrame, until_s: float, tick_s: float) -> pd.DataFrame:
    """A row for each operation, those of a lane in the order of their start, computing first."""
    ended = ops["end_s"].notna()
    ends_s = ops["end_s"].fillna(until_s)
    bars = ops[["rank", "stream", "kind", "name", "step", "layer", "bytes", "wire_bytes"]].assign(
        place=(ops["stream"] != "compute").astype("int8"),
        start=(ops["start_s"] / tick_s).round().astype("int64"),
        end=(ends_s / tick_s).round().astype("int64"),
        ended=ended,
        count=1,
        busy=0,
    )
    return bars.sort_values([*_LANE, "start"], kind="stable").reset_index(drop=True)


def _pool(bars: pd.DataFrame, most: int) -> pd.DataFrame:
    """Put together what is shorter than a width of time, for the first that leaves few enough."""
    pooled, until = bars, int(bars["end"].max())
    width = max(1, until // most)
    while len(pooled) > most and width <= 2 * until:
        pooled = _within(bars, width)
        width += width // 2 + 1
    return pooled.reset_index(drop=True)


def _within(bars: pd.DataFrame, width: int) -> pd.DataFrame:
    short = (bars["end"] - bars["start"] < width) & bars["ended"]
    some = bars[short].assign(
        block=bars["start"] // width, busy=bars["end"] - bars["start"], text=bars["name"]
    )
    groups = some.groupby([*_LANE, "kind", "block"], sort=False)
    together = groups.agg(
        name=("name", "min"),
        other=("text", "max"),
        step=("step", "min"),
        layer=("layer", "min"),
        last=("layer", "max"),
        bytes=("bytes", "sum"),
        wire_bytes=("wire_bytes", "sum"),
        start=("start", "min"),
        end=("end", "max"),
        ended=("ended", "all"),
        count=("count", "sum"),
        busy=("busy", "sum"),
    ).reset_index()
    alone = together["count"] == 1
    together["name"] = together["name"].where(together["name"] == together["other"], "")
    together["layer"] = together["layer"].where(together["layer"] == together["last"], -1)
    together["busy"] = together["busy"].where(~alone, 0)
    pooled = pd.concat([bars[~short], together[bars.columns]])
    return pooled.sort_values([*_LANE, "start"], kind="stable")


def _lane(rows: pd.DataFrame) -> Json:
    places = list(_rows(rows["start"].tolist(), rows["end"].tolist()))
    return {
        "rank": int(rows["rank"].iloc[0]),
        "stream": str(rows["stream"].iloc[0]),
        "rows": max(places) + 1,
        "start": np.diff(rows["start"].to_numpy(), prepend=0).tolist(),
        "length": (rows["end"] - rows["start"]).tolist(),
        "what": rows["what"].tolist(),
        "step": rows["step"].tolist(),
        "row": places if any(places) else [],
    }


def _rows(starts: Iterable[int], ends: Iterable[int]) -> Iterator[int]:
    """For each bar of a lane the first row that is free, or the last."""
    free = [0] * MOST_ROWS
    for start, end in zip(starts, ends, strict=True):
        row = next((row for row, until in enumerate(free) if until <= start), MOST_ROWS - 1)
        free[row] = max(free[row], end)
        yield row


def _steps(ops: pd.DataFrame, tick_s: float) -> list[list[int]]:
    """[step, when the lowest rank began it], in order."""
    rows = ops[(ops["rank"] == ops["rank"].min()) & (ops["step"] >= 0)]
    begins = rows[rows["stream"] == "compute"].groupby("step")["start_s"].min()
    return [[int(str(step)), round(start_s / tick_s)] for step, start_s in begins.items()]


def _notes(bars: pd.DataFrame, pooled: pd.DataFrame, ranks: int) -> Iterator[str]:
    if ranks > MOST_RANKS:
        yield f"Only the first {MOST_RANKS} of {ranks} ranks are drawn."
    if len(pooled) < len(bars):
        yield (
            f"{len(bars):,} operations are drawn as {len(pooled):,} bars: short neighbours of one "
            "lane and kind were put together, and each such bar says how many it stands for."
        )
