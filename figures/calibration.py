"""A calibration: what was measured, the line through it, and what is left between them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, FuncFormatter, LogLocator, NullFormatter, NullLocator

from figures import style
from figures.bandwidth import spread
from simnet.calibration.case import BETWEEN_TWO, COLLECTIVES
from traces.errors import InputError, unknown

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_TIMES = ("measured_s", "low_s", "high_s", "predicted_s", "predicted_low_s", "predicted_high_s")
COLUMNS = ("series", "kind", "bytes", *_TIMES)

_APART = 0.065  # of the axis: labels nearer than this would overlap
_WIDEST = 8.0  # ratios beyond are drawn at the edge


def table(cells: pd.DataFrame) -> pd.DataFrame:
    """One row for each point, as COLUMNS, from a calibration's cells; sizes rise in each series.

    Streams of different lengths are series of their own. Raises InputError for a missing column,
    no cells, an unknown kind, and for a time that is not above zero.
    """
    if cells.empty:
        raise InputError("calibration: there are no measurements to draw")
    for name in ("kind", "bytes", "messages", *_TIMES):
        if name not in cells:
            raise InputError(f"calibration: column {name!r} is missing")
    for kind in cells["kind"].unique():
        if kind not in (*BETWEEN_TWO, *COLLECTIVES):
            raise unknown("kind", str(kind), (*BETWEEN_TWO, *COLLECTIVES))
    for name in _TIMES:
        wrong = cells[~((cells[name] > 0) & np.isfinite(cells[name]))]
        if len(wrong):
            raise InputError(
                f"calibration: {name} of {wrong['kind'].iloc[0]} is {wrong[name].iloc[0]}, "
                "expected more than 0"
            )
    series = cells["kind"].where(
        cells["messages"] == 1, cells["kind"] + " of " + cells["messages"].astype(str)
    )
    order = {name: place for place, name in enumerate(dict.fromkeys(series))}
    ordered = cells.assign(series=series, place=series.map(order))
    ordered = ordered.sort_values(["place", "bytes"], kind="stable")
    return ordered[list(COLUMNS)].reset_index(drop=True)


def draw(table: pd.DataFrame) -> Figure:
    """Messages on the left, collectives on the right: times on top, measured over predicted below.

    Bars are the middle half of the repetitions that nothing delayed, bands the prediction's 95 %
    interval.
    """
    messages = table["kind"].isin(BETWEEN_TWO)
    sides = {
        "between two ranks": table[messages],
        "collectives": table[~messages],
    }
    sides = {title: points for title, points in sides.items() if len(points)}
    with style.look():
        fig = style.figure(4.6)
        grid = fig.subplots(
            2, len(sides), sharex="col", sharey="row", squeeze=False, height_ratios=(2, 1)
        )
        for column, (title, points) in enumerate(sides.items()):
            times, ratios = grid[0][column], grid[1][column]
            colours = style.colours(points["series"].tolist())
            times.set_title(title)
            for name, line in points.groupby("series", sort=False):
                _times(times, line, colours[str(name)])
                _ratios(ratios, line, colours[str(name)])
            _names(times, points, colours)
        _axes(grid, table)
        _key(fig)
    return fig


def _times(ax: Axes, line: pd.DataFrame, colour: str) -> None:
    ax.fill_between(
        line["bytes"],
        line["predicted_low_s"],
        line["predicted_high_s"],
        color=colour,
        alpha=0.2,
        linewidth=0,
    )
    ax.plot(line["bytes"], line["predicted_s"], color=colour, linewidth=1.0)
    ax.errorbar(line["bytes"], line["measured_s"], yerr=_bars(line, 1.0), **_points(colour))


def _ratios(ax: Axes, line: pd.DataFrame, colour: str) -> None:
    ratio = (line["measured_s"] / line["predicted_s"]).clip(1 / _WIDEST, _WIDEST)
    ax.errorbar(line["bytes"], ratio, yerr=_bars(line, line["predicted_s"]), **_points(colour))


def _bars(line: pd.DataFrame, over: Any) -> Any:
    """From the quartiles to the time itself."""
    below, above = line["measured_s"] - line["low_s"], line["high_s"] - line["measured_s"]
    return np.array([below / over, above / over])


def _points(colour: str) -> dict[str, Any]:
    return {
        "linestyle": "",
        "color": colour,
        "marker": style.MARKS["measured"].marker,
        "markersize": 3.5,
        "markeredgecolor": "white",
        "markeredgewidth": 0.4,
        "elinewidth": 0.6,
        "zorder": 3,
    }


def _axes(grid: Any, table: pd.DataFrame) -> None:
    for times, ratios in grid.T:
        times.set_xscale("log")
        times.set_yscale("log")
        ratios.set_yscale("log")
        ratios.axhline(1.0, color=style.GREY, linewidth=1, zorder=1)
        ratios.set_xlabel("bytes of a message, or of what a rank brings")
        ratios.xaxis.set_major_formatter(EngFormatter(unit="B"))
        ratios.xaxis.set_major_locator(LogLocator(base=1000))
        ratios.xaxis.set_minor_locator(LogLocator(base=10, numticks=20))
        ratios.xaxis.set_minor_formatter(NullFormatter())
        times.yaxis.set_major_locator(LogLocator())
        times.yaxis.set_major_formatter(EngFormatter(unit="s"))
        times.yaxis.set_minor_formatter(NullFormatter())
        ratios.yaxis.set_major_locator(LogLocator(base=2))
        ratios.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        ratios.yaxis.set_minor_locator(NullLocator())
    ratio = (table["measured_s"] / table["predicted_s"]).clip(1 / _WIDEST, _WIDEST)
    most = max(2.0, ratio.max(), 1 / ratio.min()) * 1.15
    grid[1][0].set_ylim(1 / most, most)
    grid[0][0].set_ylabel("time")
    grid[1][0].set_ylabel("measured / predicted")


def _names(ax: Axes, points: pd.DataFrame, colours: Mapping[str, str]) -> None:
    """Each series' name beside its last point, moved apart where they would overlap."""
    last = points.groupby("series", sort=False).last().sort_values("predicted_s")
    ax.set_yscale("log")
    low, high = np.log(ax.get_ylim())
    heights = (np.log(last["predicted_s"].to_numpy()) - low) / (high - low)
    places = spread(heights, _APART)
    for name, x, y, height in zip(
        last.index, last["bytes"], last["predicted_s"], places, strict=True
    ):
        ax.annotate(
            str(name),
            (x, y),
            xytext=(1.03, height),
            textcoords="axes fraction",
            va="center",
            fontsize=style.SMALL_PT,
            color=colours[str(name)],
            arrowprops={"arrowstyle": "-", "color": colours[str(name)], "linewidth": 0.5},
        )


def _key(fig: Figure) -> None:
    """In grey, because it holds for every colour."""
    measured = _points(style.GREY) | {"label": "measured: undisturbed median and middle half"}
    measured.pop("elinewidth")
    handles = [
        Line2D([], [], **measured),
        Line2D([], [], color=style.GREY, linewidth=1.0, label="predicted, with its 95 % interval"),
    ]
    fig.legend(handles=handles, loc="outside lower center", ncols=2)
