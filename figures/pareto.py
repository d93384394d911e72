"""Quality against what it costs, bytes or time: which schedules nothing else beats in both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, FixedLocator, NullFormatter

from figures import panels, style
from traces.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: A row for each schedule, number of steps and cost. `quality_db` is infinite for pictures that
#: are those of a single device, and NaN where they were not finite; `best` is what nothing beats.
COLUMNS = (
    "subject", "evidence", "steps", "cost", "value", "quality_db", "quality_error_db", "best",
)  # fmt: skip

_LATENCY = "latency_s "
_BYTES = "bytes an image"
_PANELS = 3
_ACROSS = 3
_TICKS = 5


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """From the rows of `thinwire quality --out`: PSNR by bytes (measured) and latency (predicted).

    Raises InputError for a missing column, and where no schedule sent anything.
    """
    needed = ("model", "schedule", "steps", "psnr_db", "psnr_error_db", "wire_bytes_per_image")
    panels.check(rows, needed, "quality")
    costs = {"wire_bytes_per_image": (_BYTES, "measured")}
    costs |= {
        name: (name.removeprefix(_LATENCY), "predicted")
        for name in map(str, rows)
        if name.startswith(_LATENCY)
    }
    sent = rows[rows["wire_bytes_per_image"] > 0]
    if sent.empty:
        raise InputError("quality: no schedule sent anything, so there is no cost to weigh")
    parts = [_costed(sent, column, *named) for column, named in list(costs.items())[:_PANELS]]
    return pd.concat(parts, ignore_index=True)


def _costed(sent: pd.DataFrame, column: str, cost: str, evidence: str) -> pd.DataFrame:
    quality = sent["psnr_db"].astype(float)
    if {"identical", "images"} <= set(sent):  # they leave no error to have a PSNR of
        quality = quality.where(sent["identical"] != sent["images"], np.inf)
    found = pd.DataFrame(
        {
            "subject": sent["schedule"],
            "evidence": evidence,
            "steps": sent["steps"],
            "cost": cost,
            "value": sent[column].astype(float),
            "quality_db": quality,
            "quality_error_db": sent["psnr_error_db"].astype(float),
        }
    )
    best = [_unbeaten(row, found[found["steps"] == row["steps"]]) for _, row in found.iterrows()]
    return found.assign(best=best)


def _unbeaten(row: pd.Series[Any], others: pd.DataFrame) -> bool:
    """Nothing with as many steps is as cheap and as good, and better in one of them."""
    as_good = (others["quality_db"] >= row["quality_db"]) & (others["value"] <= row["value"])
    better = (others["quality_db"] > row["quality_db"]) | (others["value"] < row["value"])
    return bool(np.isfinite(row["value"]) and not (as_good & better).any())


def draw(table: pd.DataFrame) -> Figure:
    """A panel for each cost, with the best joined by a line for each number of steps.

    Pictures that are the single device's stand above a dashed line, for their PSNR is infinite.
    Raises InputError for a table of something else.
    """
    panels.check(table, COLUMNS, "quality")
    names = table["subject"].unique().tolist()
    colours = style.colours(names)
    shown = list(table.groupby("cost", sort=False))
    lines = -(-len(names) // 3)
    with style.look():
        fig = style.figure(2.5 + 0.17 * lines)
        axes = panels.grid(fig, len(shown), _ACROSS, share=False)
        equal = _equal_at(table["quality_db"])
        for ax, (cost, points) in zip(axes, shown, strict=True):
            _panel(ax, points, colours, equal)
            panels.head(ax, _title(str(cost)), str(points["evidence"].iloc[0]))
            ax.set_xlabel("sent for an image" if cost == _BYTES else "latency of a batch")
            unit = "B" if cost == _BYTES else "s"
            ax.xaxis.set_major_formatter(EngFormatter(unit=unit, sep=" "))
        axes[0].set_ylabel("PSNR to a single device's, dB")
        _key(fig, colours, table["steps"].unique().tolist(), names)
    return fig


def _title(cost: str) -> str:
    return "bytes" if cost == _BYTES else cost


def _equal_at(quality: pd.Series[float]) -> float:
    finite = quality[np.isfinite(quality)]
    return float(finite.max()) * 1.12 if len(finite) else 1.0


def _panel(ax: Axes, points: pd.DataFrame, colours: Mapping[str, str], equal: float) -> None:
    known = points[points["quality_db"].notna() & (points["value"] > 0)]
    heights = known["quality_db"].clip(upper=equal)
    ax.set_xscale("log")
    for place, (_, rows) in enumerate(known.assign(y=heights).groupby("steps", sort=False)):
        best = rows[rows["best"]].sort_values("value")
        ax.plot(
            best["value"], best["y"], color=style.GREY, linewidth=1,
            linestyle=panels.line_style(place), zorder=1,
        )  # fmt: skip
        for _, row in rows.iterrows():
            ax.errorbar(
                row["value"], row["y"], yerr=row["quality_error_db"] if row["y"] < equal else None,
                marker=_MARKERS[place % len(_MARKERS)], color=colours[row["subject"]],
                markersize=6 if row["best"] else 4.5, markeredgecolor="white",
                markeredgewidth=0.6, elinewidth=0.8, zorder=3,
            )  # fmt: skip
    if np.isinf(known["quality_db"]).any():
        ax.axhline(equal * 0.96, color=style.GREY, linewidth=0.7, linestyle="--", zorder=0)
        ax.annotate(
            "the same pictures", (0.02, equal * 0.96), xycoords=("axes fraction", "data"),
            xytext=(0, 2), textcoords="offset points", fontsize=style.SMALL_PT - 0.5,
            color=style.GREY,
        )  # fmt: skip
        ax.set_ylim(top=equal * 1.06)
    ax.xaxis.set_major_locator(FixedLocator(_round(*ax.get_xlim())))
    ax.xaxis.set_minor_formatter(NullFormatter())


def _round(low: float, high: float) -> list[float]:
    """Round numbers between these, a few."""
    decades = 10.0 ** np.arange(np.floor(np.log10(low)), np.ceil(np.log10(high)))
    inside = [
        [float(x) for x in np.outer(decades, steps).ravel() if low <= x <= high]
        for steps in ((1, 2, 5), (1, 3), (1,))
    ]
    return next((some for some in inside if len(some) <= _TICKS), inside[-1])


_MARKERS = ("o", "s", "^", "v")


def _key(
    fig: Figure, colours: Mapping[str, str], steps: Sequence[int], names: Sequence[str]
) -> None:
    handles = [
        Line2D([], [], linestyle="", marker="o", color=colours[name], label=name) for name in names
    ]
    handles += [
        Line2D(
            [], [], color=style.GREY, linewidth=1, linestyle=panels.line_style(place),
            marker=_MARKERS[place % len(_MARKERS)], label=f"best of {count} steps",
        )
        for place, count in enumerate(steps)
    ]  # fmt: skip
    fig.legend(handles=handles, loc="outside lower center", ncols=3)
