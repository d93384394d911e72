"""What each run's length is made of: the operations and transfers on its critical path."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

from figures import panels, style
from traces.units import format_s

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from traces.trace import Trace

#: A row for each run, kind of stretch, line (communicator, or sender and receiver; "" for what is
#: no transfer) and name: seconds of the path, and their share of the run.
COLUMNS = ("subject", "evidence", "kind", "line", "name", "length_s", "share")

#: Of analysis.critical_path's kinds.
_COLOURS = {
    "compute": style.ACTIVITIES["compute"],
    "transfer": style.ACTIVITIES["exposed"],
    "host": style.ACTIVITIES["host"],
    "idle": "#ffffff",
    "unknown": panels.GAP["facecolor"],
}
_MOST = 8  # bars of a run; what is left is added up
_ACROSS = 2
_LETTERS = 30


def table(traces: Mapping[str, Trace]) -> pd.DataFrame:
    """Of each run, in `analysis.critical_path`'s numbers. Raises TraceError as it does."""
    from analysis.critical_path import shares_by_kind_and_line

    parts = [
        panels.described(shares_by_kind_and_line(trace), label, trace.run.evidence)
        for label, trace in traces.items()
    ]
    return pd.concat(parts, ignore_index=True)[list(COLUMNS)]


def draw(table: pd.DataFrame) -> Figure:
    """A panel for each run, with a bar for each of the largest parts, the largest first.

    Raises InputError for a table of something else.
    """
    panels.check(table, COLUMNS, "critical path")
    shown = [(str(label), _largest(rows)) for label, rows in table.groupby("subject", sort=False)]
    tallest = max(len(rows) for _, rows in shown)
    with style.look():
        fig = style.figure(0.55 + panels.down(len(shown), _ACROSS) * (0.55 + 0.17 * tallest))
        axes = panels.grid(fig, len(shown), _ACROSS, share=False)
        top = max(float(rows["share"].max()) for _, rows in shown)
        for ax, (label, rows) in zip(axes, shown, strict=True):
            _bars(ax, rows, top)
            whole_s = table.loc[table["subject"] == label, "length_s"].sum()
            title = f"{panels.shortened(label, _LETTERS)}: {format_s(float(whole_s))}"
            panels.head(ax, title, str(table.loc[table["subject"] == label, "evidence"].iloc[0]))
        panels.outer_labels(axes, _ACROSS, "share of the run", "")
        there = {kind for _, rows in shown for kind in rows["kind"]}
        fig.legend(
            handles=[_patch(kind) for kind in _COLOURS if kind in there],
            loc="outside lower center", ncols=5,
        )  # fmt: skip
    return fig


def _largest(rows: pd.DataFrame) -> pd.DataFrame:
    """The parts by what they are called; all but the largest of a kind together."""
    where = rows["line"].where(rows["line"] == "", ", " + rows["line"])
    rows = rows.assign(part=rows["name"] + where)
    rows["part"] = rows["part"].where(rows["part"] != "", rows["kind"])
    ranked = rows["length_s"].rank(ascending=False, method="first")
    rows["part"] = rows["part"].where(ranked <= _MOST, "others, " + rows["kind"])
    sums = rows.groupby(["kind", "part"], sort=False)["share"].sum().reset_index()
    return sums.sort_values("share", ascending=False, kind="stable")


def _bars(ax: Axes, rows: pd.DataFrame, top: float) -> None:
    """Downwards, each with its share behind it."""
    for place, (kind, share) in enumerate(zip(rows["kind"], rows["share"], strict=True)):
        ax.barh(place, share, 0.72, color=_COLOURS[kind], **_look(kind))
        ax.text(share, place, f" {share:.1%}", va="center", fontsize=style.SMALL_PT)
    names = [panels.shortened(str(part), _LETTERS) for part in rows["part"]]
    ax.set_yticks(range(len(rows)), names)
    ax.tick_params(axis="y", length=0)
    ax.set_ylim(len(rows) - 0.4, -0.6)
    ax.set_xlim(0, 1.18 * top)
    ax.xaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))


def _look(kind: str) -> dict[str, Any]:
    hatch = panels.GAP["hatch"] if kind == "unknown" else ""
    return {"edgecolor": style.GREY, "linewidth": 0.4, "hatch": hatch}


def _patch(kind: str) -> Patch:
    return Patch(facecolor=_COLOURS[kind], label=kind, **_look(kind))
