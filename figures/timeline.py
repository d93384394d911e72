"""Timelines of several runs under each other: what every rank and its network did, and when."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.patches import Patch
from matplotlib.ticker import EngFormatter

from analysis.extent import steps_of_all
from figures import panels, style
from traces.errors import InputError
from traces.summary import summarize
from traces.units import format_s

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from traces.trace import Trace

#: What is drawn of several traces, as `tables` gives it.
COLUMNS = (
    "subject", "evidence", "rank", "stream", "activity", "start_s", "end_s", "title", "window",
)  # fmt: skip
_LABELS = {
    "compute": "computing",
    "exposed": "waiting for the network",
    "hidden": "hidden transfer",
    "host": "host",
}
_TITLE = 92  # characters that fit beside each other above a panel
_RANKS = 8  # more do not fit on a page
_PIXELS = 1400  # a bar that is shorter than the window divided by this is a sliver
_HATCHED = 100  # a bar that is shorter than the panel divided by this would drown in hatching
_POOL = 8  # slivers are put together over so many of their largest length


def table(trace: Trace, steps: range | None = None) -> pd.DataFrame:
    """What to draw: rank, stream (compute, network), activity, start_s, end_s.

    Activities are compute, exposed, hidden and host, merged where they touch. Between the start
    of the first and the end of the last of `steps` (by default, of those that every rank has, all
    of four or the two in the middle of more, where warm-up is over and the end not near), whichever
    step they belong to. Bars too short to see are put together with their neighbours so that every
    activity keeps its total. Raises InputError for an empty range of steps, and where no rank did
    anything in them.
    """
    begin_s, end_s = _window(trace, _steps(trace, steps))
    shown = trace.ops[trace.ops["rank"].isin(_ranks(trace))]
    segments = pd.concat(_segments(rows, begin_s, end_s) for _, rows in shown.groupby("rank"))
    pooled = _pool(segments, (end_s - begin_s) / _PIXELS)
    pooled["end_s"] = begin_s + pooled.groupby(["rank", "stream"])["length_s"].cumsum()
    pooled["start_s"] = pooled["end_s"] - pooled["length_s"]
    bars = pooled.loc[pooled["activity"] != "idle"]
    return bars[["rank", "stream", "activity", "start_s", "end_s"]].reset_index(drop=True)


def tables(traces: Mapping[str, Trace], steps: range | None = None) -> pd.DataFrame:
    """The same of several traces by their labels, with what `draw` says of each.

    subject, evidence, title and window besides the columns of `table`; and a row with the stream
    "step" where a rank begins one, which starts and ends there.
    """
    return pd.concat(
        [_labelled(trace, label, steps) for label, trace in traces.items()], ignore_index=True
    )


def _labelled(trace: Trace, label: str, steps: range | None) -> pd.DataFrame:
    window, run = _steps(trace, steps), trace.run
    total = format_s(summarize(trace).total_s)
    ranks = f", ranks 0-{_RANKS - 1} of {run.ranks}" if run.ranks > _RANKS else ""
    rows = pd.concat([table(trace, steps), _begins(trace, *_window(trace, window))])
    shown = f"steps {window.start}-{window.stop - 1} of {run.steps}{ranks}"
    rest = f"{label}:  on {run.network}, {total} in all ({run.evidence})"
    schedule = panels.shortened(run.schedule, _TITLE - len(rest) - len(shown))
    return panels.described(rows, label, run.evidence).assign(
        title=f"{label}: {schedule} on {run.network}, {total} in all", window=shown
    )


def _begins(trace: Trace, begin_s: float, end_s: float) -> pd.DataFrame:
    """Where a rank begins a step."""
    ops = trace.ops[(trace.ops["stream"] == "compute") & (trace.ops["step"] >= 0)]
    begins = ops.groupby(["rank", "step"])["start_s"].min().reset_index()
    shown = begins["start_s"].between(begin_s, end_s, inclusive="left")
    begins = begins[shown & begins["rank"].isin(_ranks(trace))]
    return pd.DataFrame(
        {
            "rank": begins["rank"],
            "stream": "step",
            "activity": begins["step"].astype(str),
            "start_s": begins["start_s"],
            "end_s": begins["start_s"],
        }
    )


def draw(table: pd.DataFrame) -> Figure:
    """One panel a trace, with a shared axis of time since its first drawn step began.

    Times that were not measured are hatched. Raises InputError for a table of something else.
    """
    panels.check(table, COLUMNS, "timeline")
    shown = list(table.groupby("subject", sort=False))
    heights = [0.55 + 0.3 * panel["rank"].nunique() for _, panel in shown]
    with style.look():
        fig = style.figure(sum(heights) + 0.7)
        axes = fig.subplots(
            len(shown), sharex=True, squeeze=False, gridspec_kw={"height_ratios": heights}
        )[:, 0]
        longest_s = 0.0
        for ax, (_, panel) in zip(axes, shown, strict=True):
            begin_s, end_s = panel["start_s"].min(), panel["end_s"].max()
            longest_s = max(longest_s, float(end_s - begin_s))
            _panel(ax, panel, float(begin_s))
        axes[-1].set_xlim(0, longest_s)  # they share it, so it is set once, for all
        axes[-1].set_xlabel("time since the first step shown began")
        axes[-1].xaxis.set_major_formatter(EngFormatter(unit="s"))
        _key(fig, table["activity"].unique().tolist(), table["evidence"].unique().tolist())
    return fig


def _panel(ax: Axes, panel: pd.DataFrame, begin_s: float) -> None:
    """Of one trace: its bars, where ranks begin steps, and what it is."""
    first = panel.iloc[0]
    begins = panel["stream"] == "step"
    _bars(ax, panel[~begins], begin_s, style.MARKS[first["evidence"]].hatch)
    _marks(ax, panel[begins], list(panel["rank"].unique()), begin_s)
    ax.set_title(f"{first['title']} ({first['evidence']})")
    ax.set_title(first["window"], loc="right", color=style.GREY, fontsize=style.SMALL_PT)


def _key(fig: Figure, activities: Sequence[str], evidences: Sequence[str]) -> None:
    handles = [
        Patch(facecolor=style.ACTIVITIES[activity], label=label)
        for activity, label in _LABELS.items()
        if activity in activities
    ]
    handles += [
        Patch(
            facecolor=style.GREY, edgecolor="white", linewidth=0, hatch=mark.hatch, label=evidence
        )
        for evidence, mark in style.MARKS.items()
        if evidence in evidences and mark.hatch
    ]
    fig.legend(handles=handles, loc="outside lower center", ncols=len(handles))


def _steps(trace: Trace, steps: range | None) -> range:
    if steps is None:
        last = steps_of_all(trace)
        return range(last) if last <= 4 else range(last // 2, last // 2 + 2)
    if not steps:
        raise InputError(f"steps {steps.start} to {steps.stop - 1}: the first is after the last")
    return steps


def _ranks(trace: Trace) -> list[int]:
    return sorted(trace.ops["rank"].unique())[:_RANKS]


def _window(trace: Trace, steps: range) -> tuple[float, float]:
    """From when the first rank enters the steps until the last rank leaves them, in seconds."""
    ops = trace.ops
    rows = ops[(ops["stream"] == "compute") & ops["step"].isin(steps)]
    if rows.empty:
        raise InputError(
            f"nothing to draw in steps {steps.start} to {steps.stop - 1}: "
            f"the run has {trace.run.steps} steps, from 0"
        )
    return float(rows["start_s"].min()), float(rows["end_s"].max())


def _segments(rows: pd.DataFrame, begin_s: float, end_s: float) -> pd.DataFrame:
    """One rank's window cut wherever anything begins or ends, once for each stream."""
    gaps = rows[rows["host_s"] > 0]
    transfers = rows[(rows["stream"] != "compute") & rows["end_s"].notna()]
    spans = [
        *(rows.loc[rows["kind"] == kind, ["start_s", "end_s"]] for kind in ("compute", "wait")),
        pd.DataFrame({"start_s": gaps["start_s"] - gaps["host_s"], "end_s": gaps["start_s"]}),
        transfers[["start_s", "end_s"]],
    ]
    edges_s = np.unique(np.clip(np.vstack([[[begin_s, end_s]], *spans]), begin_s, end_s))
    computing, waiting, host, moving = (_within(span, edges_s[:-1]) for span in spans)
    streams = {
        "compute": np.select([waiting, computing, host], ["exposed", "compute", "host"], "idle"),
        "network": np.select([moving & waiting, moving], ["exposed", "hidden"], "idle"),
    }
    return pd.concat(
        pd.DataFrame(
            {
                "rank": rows["rank"].iloc[0],
                "stream": stream,
                "activity": activity,
                "start_s": edges_s[:-1],
                "length_s": np.diff(edges_s),
            }
        )
        for stream, activity in streams.items()
    )


def _within(spans: pd.DataFrame, at_s: NDArray[np.float64]) -> NDArray[np.bool_]:
    """At which of these times any of the spans has begun and not ended."""
    begun = np.searchsorted(np.sort(spans["start_s"].to_numpy()), at_s, side="right")
    ended = np.searchsorted(np.sort(spans["end_s"].to_numpy()), at_s, side="right")
    return np.asarray(begun > ended)


def _pool(segments: pd.DataFrame, sliver_s: float) -> pd.DataFrame:
    """Merge neighbours of one activity, then neighbouring slivers, then neighbours again."""
    keys = ["rank", "stream"]
    merged = _merge(segments, _changes(segments, [*keys, "activity"]))
    short = merged["length_s"] < sliver_s
    pools = (merged["start_s"] // (_POOL * sliver_s)).where(short, -1.0)
    block = _changes(merged.assign(pool=pools), [*keys, "pool"])
    # A bar that is long enough stays by itself.
    pooled = _merge(merged, block + (~short).cumsum())
    return _merge(pooled, _changes(pooled, [*keys, "activity"]))


def _changes(rows: pd.DataFrame, columns: list[str]) -> pd.Series[Any]:
    """Counts up by one wherever a row differs from the one before in any of the columns."""
    return (rows[columns] != rows[columns].shift()).any(axis=1).cumsum()


def _merge(rows: pd.DataFrame, block: pd.Series[Any]) -> pd.DataFrame:
    """One row for each activity in a block, in order of appearance."""
    keys = ["rank", "stream", "activity"]
    together = rows.groupby([block.rename("block"), *keys], sort=False)
    merged = together.agg(start_s=("start_s", "first"), length_s=("length_s", "sum"))
    return merged.reset_index().drop(columns="block")


def _bars(ax: Axes, panel: pd.DataFrame, begin_s: float, hatch: str) -> None:
    """Compute in a thick row, the network in a thin one below it; slivers are not hatched."""
    longest_s = (panel["end_s"] - panel["start_s"]).max()  # is hatched in any case
    sliver_s = min(longest_s, (panel["end_s"].max() - begin_s) / _HATCHED)
    ranks = list(panel["rank"].unique())
    row = {"compute": (0.0, 0.5), "network": (0.52, 0.26)}
    for (rank, stream, activity), bars in panel.groupby(["rank", "stream", "activity"]):
        top, height = row[str(stream)]
        spans = np.column_stack([bars["start_s"] - begin_s, bars["end_s"] - bars["start_s"]])
        sliver = spans[:, 1] < sliver_s
        for some, hatching in ((spans[~sliver], hatch), (spans[sliver], "")):
            ax.broken_barh(
                some.tolist(),
                (ranks.index(rank) + top, height),
                facecolor=style.ACTIVITIES[str(activity)],
                edgecolor="white",
                linewidth=0,
                hatch=hatching,
            )
    ax.set_ylim(len(ranks) - 0.1, -0.15)
    ax.set_yticks([place + 0.25 for place in range(len(ranks))], [f"rank {r}" for r in ranks])
    ax.set_yticks([place + 0.65 for place in range(len(ranks))], ["net"] * len(ranks), minor=True)
    ax.tick_params(axis="y", which="both", length=0)
    ax.tick_params(axis="y", which="minor", labelsize=style.SMALL_PT - 1, labelcolor=style.GREY)
    ax.spines["left"].set_visible(False)


def _marks(ax: Axes, begins: pd.DataFrame, ranks: list[int], begin_s: float) -> None:
    """A light line where a rank begins a step."""
    for rank, rows in begins.groupby("rank"):
        place = ranks.index(int(str(rank)))
        ax.vlines(
            rows["start_s"] - begin_s, place - 0.1, place + 0.85, color="black", linewidth=0.6
        )
