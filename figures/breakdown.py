"""Where the time of several runs went, side by side: computing, waiting, and what was hidden."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import pandas as pd
from matplotlib.patches import Patch
from matplotlib.ticker import EngFormatter

from figures import panels, style
from traces.units import format_s

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from traces.trace import Trace

#: A row for each run and part of the time of its rank that finishes last. Parts but `hidden`, which
#: is communication beside computing, add up to the run's latency.
COLUMNS = ("subject", "evidence", "network", "extent", "part", "time_s")

_PARTS = ("compute", "exposed", "host", "hidden")
_LABELS = {
    "compute": "compute", "exposed": "exposed communication", "host": "host",
    "hidden": "hidden communication",
}  # fmt: skip
_LETTERS = 34


def table(traces: Mapping[str, Trace]) -> pd.DataFrame:
    """In `analysis.breakdown`'s numbers. Raises InputError and TraceError as it does."""
    from analysis.breakdown import breakdown

    found = breakdown(traces).rename(columns={"label": "subject"})
    names = {f"{part}_s": part for part in _PARTS}
    rows = found.rename(columns=names).melt(
        ["subject", "evidence", "network", "extent"], list(_PARTS), "part", "time_s"
    )
    order = rows["subject"].map({label: place for place, label in enumerate(traces)})
    return rows.iloc[order.argsort(kind="stable")].reset_index(drop=True)[list(COLUMNS)]


def draw(table: pd.DataFrame) -> Figure:
    """A bar for each run, and below it a thin one of the communication that computing hides.

    Raises InputError for a table of something else.
    """
    panels.check(table, COLUMNS, "breakdown")
    runs = list(table.groupby("subject", sort=False))
    longest_s = table[table["part"] != "hidden"].groupby("subject")["time_s"].sum().max()
    with style.look():
        fig = style.figure(0.95 + 0.42 * len(runs))
        ax = fig.subplots()
        for place, (_, rows) in enumerate(runs):
            _bar(ax, place, rows.set_index("part")["time_s"], str(rows["evidence"].iloc[0]))
        labels = [_named(str(label), rows.iloc[0]) for label, rows in runs]
        ax.set_yticks(range(len(runs)), labels)
        ax.tick_params(axis="y", length=0)
        ax.set_ylim(len(runs) - 0.4, -0.6)
        ax.set_xlim(0, 1.12 * (float(longest_s) or 1.0))
        ax.xaxis.set_major_formatter(EngFormatter(unit="s"))
        ax.set_xlabel("time of the rank that finishes last")
        evidence = " and ".join(dict.fromkeys(table["evidence"]))
        panels.head(ax, "; ".join(dict.fromkeys(table["extent"])), evidence)
        key = _key(table)
        fig.legend(handles=key, loc="outside lower center", ncols=len(key) if len(key) < 6 else 4)
    return fig


def _named(label: str, row: pd.Series[Any]) -> str:
    return f"{panels.shortened(label, _LETTERS)}\n{row['network']}"


def _bar(ax: Axes, place: int, times_s: pd.Series[float], evidence: str) -> None:
    """What adds up in a row; hatched as the evidence is."""
    hatch, at_s = style.MARKS[evidence].hatch, 0.0
    for part in _PARTS[:-1]:
        ax.barh(
            place - 0.08, times_s[part], 0.44, at_s, color=style.ACTIVITIES[part], hatch=hatch,
            edgecolor="white", linewidth=0,
        )  # fmt: skip
        at_s += times_s[part]
    ax.text(at_s, place - 0.08, f" {format_s(at_s)}", va="center", fontsize=style.SMALL_PT)
    ax.barh(
        place + 0.24, times_s["hidden"], 0.14, color=style.ACTIVITIES["hidden"], hatch=hatch,
        edgecolor="white", linewidth=0,
    )  # fmt: skip


def _key(table: pd.DataFrame) -> list[Patch]:
    parts = [Patch(color=style.ACTIVITIES[part], label=_LABELS[part]) for part in _PARTS]
    hatches = {name: style.MARKS[str(name)].hatch for name in dict.fromkeys(table["evidence"])}
    return parts + [
        Patch(facecolor=style.GREY, edgecolor="white", hatch=hatch, label=name)
        for name, hatch in hatches.items()
        if hatch
    ]
