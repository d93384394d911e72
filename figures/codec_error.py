"""How a receiver's error grows, or does not: simulated on noise, with the closed form as lines."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from figures import style
from figures.bandwidth import spread
from traces.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: What is drawn, as `analysis.codec_error.table` gives it.
COLUMNS = ("codec", "way", "step", "predicted", "simulated", "one_shot_nmse", "residual_ratio")

_ACROSS = 2  # panels beside each other
_APART = 0.055  # of the axis: labels nearer than this would overlap
_POINT: dict[str, Any] = {
    "linestyle": "",
    "marker": style.MARKS["predicted"].marker,  # hollow: nothing here was measured on a model
    "markersize": 3.5,
    "markerfacecolor": "white",
    "markeredgewidth": 0.8,
}


def draw(table: pd.DataFrame) -> Figure:
    """A panel for each codec; in each, a line and its points for each way of applying it.

    Raises InputError for a missing column and an empty table.
    """
    _check(table)
    colours = style.colours(table["way"].tolist())
    panels = list(table.groupby("codec", sort=False))
    across = min(_ACROSS, len(panels))
    down = -(-len(panels) // across)
    with style.look():
        fig = style.figure(0.6 + 2.5 * down)
        grid = fig.subplots(down, across, sharex=True, sharey=True, squeeze=False)
        for ax, (name, points) in zip(grid.flat, panels, strict=False):
            _panel(ax, points, colours)
            ax.set_title(f"{name}: NMSE {points['one_shot_nmse'].iloc[0]:.3f} in one shot")
        _axes(grid, len(panels), table)
        for ax, (_, points) in zip(grid.flat, panels, strict=False):
            _names(ax, points, colours)
        _key(fig, table["residual_ratio"].iloc[0])
    return fig


def _check(table: pd.DataFrame) -> None:
    for name in COLUMNS:
        if name not in table:
            raise InputError(f"error of codecs: column {name!r} is missing")
    if table.empty:
        raise InputError("error of codecs: there is nothing to draw")


def _panel(ax: Axes, points: pd.DataFrame, colours: dict[str, str]) -> None:
    for way, line in points.groupby("way", sort=False):
        colour = colours[str(way)]
        ax.plot(line["step"], line["predicted"], color=colour, linewidth=1.2)
        ax.plot(line["step"], line["simulated"], color=colour, zorder=3, **_POINT)


def _axes(grid: Any, panels: int, table: pd.DataFrame) -> None:
    for ax in list(grid.flat)[panels:]:
        ax.set_visible(False)
    for ax in list(grid.flat)[max(0, panels - grid.shape[1]) : panels]:
        ax.set_xlabel("step, after the first, which is sent raw")
        ax.tick_params(labelbottom=True)
    for ax in grid[:, 0]:
        ax.set_ylabel("receiver's error / activation")
    first = grid[0][0]
    first.set_xlim(0, table["step"].max() + 0.5)
    first.set_ylim(0, 1.06 * max(table["predicted"].max(), table["simulated"].max(), 1e-9))
    first.xaxis.set_major_locator(MaxNLocator(integer=True))
    first.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))


def _names(ax: Axes, points: pd.DataFrame, colours: dict[str, str]) -> None:
    """Each way's name beside its last point, moved apart where they would overlap."""
    last = points.groupby("way", sort=False).last().sort_values("simulated")
    heights = last["simulated"].to_numpy() / ax.get_ylim()[1]
    for way, height in zip(last.index, spread(np.asarray(heights), _APART), strict=True):
        ax.annotate(
            str(way),
            (1.02, height),
            xycoords="axes fraction",
            va="center",
            fontsize=style.SMALL_PT,
            color=colours[str(way)],
        )


def _key(fig: Figure, ratio: float) -> None:
    """In grey, because it holds for every colour."""
    simulated = f"simulated: Gaussian numbers that change by {ratio:.0%} a step"
    handles = [
        Line2D([], [], color=style.GREY, linewidth=1.2, label="predicted from the one shot"),
        Line2D([], [], color=style.GREY, label=simulated, **_POINT),
    ]
    fig.legend(handles=handles, loc="outside lower center", ncols=2)
