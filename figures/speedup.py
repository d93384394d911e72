"""Speedup over the first schedule, by schedule and bandwidth: a map, and bars at some networks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.colors import Normalize
from matplotlib.patches import Patch
from matplotlib.ticker import EngFormatter

from figures import bandwidth, panels, style
from figures.heatmap import heatmap
from traces.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: A row for each schedule and rate; `speedup` is over the first schedule at the same place.
COLUMNS = ("subject", "evidence", "rate_bps", "network", "total_s", "reference", "speedup")

_BARS = 4  # networks, beside each other
_LEAST = 1.1  # a colour scale that ends nearer to 1 would show rounding


def table(points: pd.DataFrame) -> pd.DataFrame:
    """From points as `figures.bandwidth.table` has them: how many times as fast as the first.

    NaN where the first has no latency at that place. Measured runs are compared with the first's
    measured run, whatever rate each achieved. Raises InputError for less than two schedules.
    """
    points = bandwidth.table(points)
    names = points["schedule"].unique().tolist()
    if len(names) < 2:
        raise InputError("speedup: there is but one schedule; give the traces of two or more")
    rows = points.assign(network=points["network"].fillna(""))
    rows["place"] = rows["rate_bps"].where(rows["evidence"] == "predicted", -1.0)
    keys = ["evidence", "place", "network"]
    base = rows[rows["schedule"] == names[0]].drop_duplicates(keys)[[*keys, "total_s"]]
    joined = rows.merge(base.rename(columns={"total_s": "base_s"}), on=keys, how="left")
    joined = joined.assign(
        subject=joined["schedule"],
        reference=names[0],
        speedup=joined["base_s"] / joined["total_s"],
    )
    return joined[list(COLUMNS)]


def draw(table: pd.DataFrame) -> Figure:
    """Above a map over the rates that have no name, below bars for those that have one.

    Raises InputError for a table of something else.
    """
    panels.check(table, COLUMNS, "speedup")
    names = table["subject"].unique().tolist()
    swept = table[(table["evidence"] == "predicted") & (table["network"] == "")]
    bars = _bars(table)
    heights = [0.32 * len(names) + 0.5] * (len(swept) > 0) + [1.7] * (len(bars) > 0)
    if not heights:
        raise InputError("speedup: no schedule shares a rate with the first")
    with style.look():
        fig = style.figure(sum(heights) + 1.0)
        axes = list(fig.subplots(len(heights), squeeze=False, height_ratios=heights)[:, 0])
        if len(swept):
            _map(fig, axes[0], swept, names)
        if len(bars):
            _groups(axes[-1], bars, names)
        _key(fig, bars, names, gaps=bool(swept["speedup"].isna().any()))
    return fig


def _bars(table: pd.DataFrame) -> pd.DataFrame:
    """What was measured, and what is predicted on the slowest named networks."""
    predicted = table[(table["evidence"] == "predicted") & (table["network"] != "")]
    rates = predicted.groupby("network")["rate_bps"].min().sort_values()
    measured = table[table["evidence"] != "predicted"].assign(network="as recorded")
    shown = predicted[predicted["network"].isin(list(rates.index[:_BARS]))]
    return pd.concat([measured, shown.sort_values("rate_bps")])


def _map(fig: Figure, ax: Axes, swept: pd.DataFrame, names: Sequence[str]) -> None:
    grid = swept.pivot_table(index="subject", columns="rate_bps", values="speedup", dropna=False)
    grid = grid.reindex(list(names))
    values = np.log2(grid.to_numpy(float))
    span = float(np.nanmax(np.abs(values), initial=np.log2(_LEAST)))
    norm = Normalize(-span, span)
    image = heatmap(ax, values, norm, style.DIVERGING)
    for down, across in np.argwhere(np.isfinite(values)):
        dark = abs(values[down, across]) > 0.65 * span
        ax.text(
            across, down, f"{2 ** values[down, across]:.2g}", ha="center", va="center",
            fontsize=style.SMALL_PT - 0.5, color="white" if dark else "black",
        )  # fmt: skip
    rate = EngFormatter(unit="bit/s", places=0)
    texts = ["∞" if np.isinf(x) else rate(float(x)) for x in grid.columns]
    ax.set_xticks(range(len(texts)), texts, fontsize=style.SMALL_PT)
    ax.set_yticks(range(len(names)), list(names))
    ax.set_xlabel("rate of each rank's link")
    panels.head(ax, f"times as fast as {swept['reference'].iloc[0]}", "predicted")
    bar = fig.colorbar(image, ax=ax, aspect=12, pad=0.015, fraction=0.05)
    marks = [-span, 0.0, span]
    bar.set_ticks(marks, labels=[f"{2**mark:.2g}x" for mark in marks])
    bar.outline.set_visible(False)


def _groups(ax: Axes, bars: pd.DataFrame, names: Sequence[str]) -> None:
    """A group for each network, in it a bar for each schedule; a gap says that it has none."""
    colours = style.colours(list(names))
    networks = list(dict.fromkeys(bars["network"]))
    width = 0.8 / len(names)
    for (network, name, evidence), rows in bars.groupby(["network", "subject", "evidence"]):
        value = float(rows["speedup"].mean())
        at = networks.index(str(network)) + (list(names).index(str(name)) + 0.5) * width - 0.4
        looks: dict[str, Any] = {"color": colours[str(name)], "edgecolor": "white", "linewidth": 0}
        if np.isnan(value):
            ax.text(at, 0.02, "n/a", ha="center", fontsize=style.SMALL_PT - 1, color=style.GREY)
            continue
        ax.bar(at, value, width * 0.92, hatch=style.MARKS[str(evidence)].hatch, **looks)
        ax.text(at, value, f"{value:.2g}", ha="center", va="bottom", fontsize=style.SMALL_PT - 0.5)
    ax.axhline(1.0, color=style.GREY, linewidth=0.8, linestyle="--", zorder=0)
    ax.set_xticks(range(len(networks)), networks)
    ax.set_xlim(-0.5, len(networks) - 0.5)
    ax.margins(y=0.15)
    ax.set_ylabel("speedup")
    ax.tick_params(axis="x", length=0)
    evidences = " and ".join(dict.fromkeys(bars["evidence"]))
    panels.head(ax, f"times as fast as {bars['reference'].iloc[0]}", evidences)


def _key(fig: Figure, bars: pd.DataFrame, names: Sequence[str], *, gaps: bool) -> None:
    colours = style.colours(list(names))
    handles = [Patch(facecolor=colours[name], label=name) for name in names if len(bars)]
    handles += [
        Patch(facecolor=style.GREY, edgecolor="white", linewidth=0, hatch=mark.hatch, label=name)
        for name, mark in style.MARKS.items()
        if mark.hatch and name in set(bars["evidence"])
    ]
    handles += [panels.gap_key()] * gaps
    fig.legend(handles=handles, loc="outside lower center", ncols=min(5, len(handles)))
