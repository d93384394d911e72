"""A plan's choices: latency against quality, what each leaves of memory, and how sure that is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, FixedLocator, NullFormatter

from figures import panels, style
from traces.units import format_bytes

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: A row for each plan that was simulated. `quality_db` is infinite for the same pictures, and
#: `place` is the number under which a plan is told about.
COLUMNS = (
    "subject", "evidence", "plan", "place", "latency_s", "low_s", "high_s", "quality_db",
    "memory_bytes",
)  # fmt: skip
#: Ends of the axis that are that many times apart have few ticks between them.
_WIDE = 8
_SIZES = 48.0, 150.0  # points squared, from no memory to the most


def table(rows: pd.DataFrame, subject: str, quality: str) -> pd.DataFrame:
    """From the rows of `thinwire plan --out`; `quality` says what its decibels are of.

    Raises InputError for a missing column, and where nothing was simulated.
    """
    panels.check(rows, COLUMNS[2:], "plan")
    known = rows[rows["latency_s"].notna()]
    chosen = known[list(COLUMNS[2:])].reset_index(drop=True)
    described = panels.described(chosen, subject, "predicted")
    described["quality_of"] = quality
    panels.check(described, COLUMNS, "plan")
    return described.astype({"quality_db": float, "latency_s": float})


def draw(table: pd.DataFrame) -> Figure:
    """Points with intervals, the front joined by a line and numbered from the fastest.

    Pictures that are the single device's stand above a dashed line. Raises InputError for a table
    of something else.
    """
    panels.check(table, COLUMNS, "plan")
    best = table[table["place"].notna()].sort_values("place")
    colours = style.colours(best["plan"].tolist())
    with style.look():
        fig = style.figure(3.0 + 0.17 * -(-len(best) // 2))
        ax = fig.subplots()
        equal = _equal_at(table["quality_db"])
        _others(ax, table[~table.index.isin(best.index)], equal)
        _front(ax, best, colours, equal)
        _axes(ax, table, equal)
        panels.head(
            ax,
            str(table["subject"].iloc[0]),
            "latency predicted, quality measured; larger: more memory",
        )
        _key(fig, best, colours)
    return fig


def _equal_at(quality: pd.Series[float]) -> float:
    finite = quality[np.isfinite(quality)]
    return float(finite.max()) + 6 if len(finite) else 1.0


def _heights(rows: pd.DataFrame, equal: float) -> pd.Series[float]:
    return rows["quality_db"].clip(upper=equal)


def _sizes(rows: pd.DataFrame) -> Any:
    """The area grows with the memory, on one scale for all figures of a GPU."""
    least, most = _SIZES
    share = rows["memory_bytes"].astype(float) / max(1.0, float(rows["memory_bytes"].max()))
    return least + (most - least) * share


def _others(ax: Axes, rows: pd.DataFrame, equal: float) -> None:
    ax.scatter(
        rows["latency_s"], _heights(rows, equal), s=14, facecolor="none", edgecolor="#b8b8b8",
        linewidth=0.8, zorder=1,
    )  # fmt: skip


def _front(ax: Axes, best: pd.DataFrame, colours: dict[str, str], equal: float) -> None:
    heights = _heights(best, equal)
    for (_, row), y, size in zip(best.iterrows(), heights, _sizes(best), strict=True):
        colour = colours[row["plan"]]
        reach = [[row["latency_s"] - row["low_s"]], [row["high_s"] - row["latency_s"]]]
        ax.errorbar(
            row["latency_s"], y, xerr=reach, color=colour, linewidth=1.1, capsize=2, alpha=0.6,
            zorder=2,
        )  # fmt: skip
        ax.scatter(row["latency_s"], y, s=size, color=colour, edgecolor="white", zorder=3)
    for place, ((_, row), y) in enumerate(zip(best.iterrows(), heights, strict=True), start=1):
        ax.annotate(
            str(place), (row["latency_s"], y), ha="center", va="center_baseline", zorder=4,
            fontsize=style.SMALL_PT - 1, color="white", fontweight="bold",
        )  # fmt: skip


def _axes(ax: Axes, table: pd.DataFrame, equal: float) -> None:
    ax.set_xscale("log")
    low, high = float(table["low_s"].min()), float(table["high_s"].max())
    ax.set_xlim(low / 1.06, high * 1.06)
    ax.xaxis.set_major_locator(FixedLocator(_round(low, high)))
    ax.xaxis.set_major_formatter(EngFormatter(unit="s", sep=" "))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.set_xlabel("latency, and where nine of ten published ones were that were predicted so")
    unit = str(table.get("quality_of", pd.Series(["quality"])).iloc[0])
    ax.set_ylabel(f"dB, {unit}".replace(", on a", ",\non a"), fontsize=style.SMALL_PT)
    if np.isinf(table["quality_db"]).any():
        ax.axhline(equal - 2, color=style.GREY, linewidth=0.7, linestyle="--", zorder=0)
        ax.annotate(
            "the same pictures", (0.01, equal - 2), xycoords=("axes fraction", "data"),
            xytext=(0, 3), textcoords="offset points", color=style.GREY, fontsize=style.SMALL_PT,
        )  # fmt: skip
        least = float(table["quality_db"].min())
        ax.set_yticks([tick for tick in ax.get_yticks() if least - 4 < tick < equal - 2])
        ax.set_ylim(min(least, equal) - 4, equal + 3.5)  # above the line there is no scale


def _round(low: float, high: float) -> list[float]:
    """Round numbers between these, a few."""
    decades = 10.0 ** np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)) + 1)
    steps = (1.0, 2.0, 5.0) if high / low > _WIDE else (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 6.0, 8.0)
    return [float(x) for x in np.outer(decades, steps).ravel() if low <= x <= high]


def _key(fig: Figure, best: pd.DataFrame, colours: dict[str, str]) -> None:
    handles = [
        Line2D(
            [], [], linestyle="", marker="o", color=colours[plan],
            label=f"{place}  {panels.shortened(plan, 44)}, {format_bytes(memory)}",
        )
        for place, (plan, memory) in enumerate(
            zip(best["plan"], best["memory_bytes"], strict=True), start=1
        )
    ]  # fmt: skip
    handles.append(
        Line2D(
            [], [], linestyle="", marker="o", markerfacecolor="none", markeredgecolor="#b8b8b8",
            markersize=4, label="others that were simulated",
        )
    )  # fmt: skip
    fig.legend(handles=handles, loc="outside lower center", ncols=2)
