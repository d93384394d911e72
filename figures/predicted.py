"""Runs of the lab as predicted against as measured, with the band that errors are to stay in."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter, PercentFormatter

from figures import style
from traces.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

#: What is drawn; `kind` is that of network, `error` (predicted - measured) / measured.
COLUMNS = ("kind", "rate_bps", "compute", "measured_s", "predicted_s", "error")
#: The errors that half and nine tenths of the runs are to stay below.
BANDS = (0.05, 0.12)

_MARKERS = {"paced": "o", "real": "s"}
_LEAST = 0.15  # of errors, that the axis shows at least
_SPREAD = 0.25  # octaves to the left and right of its rate that a kind's points stand


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """One row for each run that has numbers, as COLUMNS, from the table of `thinwire validate lab`.

    Raises InputError for a missing column, and where no run has numbers.
    """
    for name in ("network", *COLUMNS[1:]):
        if name not in rows:
            raise InputError(f"predicted runs: column {name!r} is missing")
    good = rows[np.isfinite(rows["error"])]
    if good.empty:
        raise InputError("predicted runs: there is no run with numbers to draw")
    points: pd.DataFrame = good.assign(kind=good["network"].map(_kind))[list(COLUMNS)]
    return points.reset_index(drop=True)


def _kind(network: str) -> str:
    """Of flat-4x100M "flat, 4 ranks", of two-hosts-100M "two hosts"."""
    parts = re.fullmatch(r"(.+?)(?:-(\d+)x.*|-[\d.]+M)?", network)
    assert parts is not None
    name, ranks = parts.groups()
    words = name.replace("-", " ")
    return f"{words}, {ranks} ranks" if ranks else words


def draw(table: pd.DataFrame) -> Figure:
    """On the left latency as predicted by that measured; on the right the error by the rate.

    The dark band holds errors up to the smaller of BANDS, the light one up to the larger.
    """
    colours = style.colours(table["kind"].tolist())
    with style.look():
        fig = style.figure(3.2)
        runs, errors = fig.subplots(1, 2, width_ratios=(1, 1.3))
        _runs(runs, table, colours)
        _errors(errors, table, colours)
        _key(fig, table, colours)
    return fig


def _runs(ax: Axes, table: pd.DataFrame, colours: dict[str, str]) -> None:
    ends = table[["measured_s", "predicted_s"]].to_numpy()
    line = np.array([ends.min() / 1.2, ends.max() * 1.2])
    for band in BANDS:
        ax.fill_between(line, line * (1 - band), line * (1 + band), **_BAND)
    ax.plot(line, line, color=style.GREY, linewidth=0.8, zorder=1)
    for (kind, compute), points in table.groupby(["kind", "compute"], sort=False):
        look = _point(colours[str(kind)], str(compute))
        ax.plot(points["measured_s"], points["predicted_s"], **look)
    ax.set_xscale("log")
    ax.set_yscale("log")
    ax.set_xlim(*line)
    ax.set_ylim(*line)
    for axis in (ax.xaxis, ax.yaxis):
        axis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axis.set_major_formatter(EngFormatter(unit="s"))
        axis.set_minor_formatter(NullFormatter())
    ax.set_aspect("equal")
    ax.set_xlabel("measured")
    ax.set_ylabel("predicted")
    ax.set_title("latency of whole runs")


def _errors(ax: Axes, table: pd.DataFrame, colours: dict[str, str]) -> None:
    for band in BANDS:
        ax.axhspan(-band, band, **_BAND)
    ax.axhline(0.0, color=style.GREY, linewidth=0.8, zorder=1)
    shift = dict(zip(colours, np.linspace(-_SPREAD, _SPREAD, len(colours)), strict=True))
    for (kind, compute), points in table.groupby(["kind", "compute"], sort=False):
        rates = points["rate_bps"] * 2.0 ** shift[str(kind)]
        ax.plot(rates, points["error"], **_point(colours[str(kind)], str(compute)))
    ax.set_xscale("log")
    ax.set_xticks(sorted(set(table["rate_bps"])))
    ax.xaxis.set_major_formatter(EngFormatter(unit="bit/s", sep=" "))
    ax.xaxis.set_minor_formatter(NullFormatter())
    ax.tick_params(axis="x", which="minor", length=0)
    most = max(_LEAST, 1.1 * float(table["error"].abs().max()))
    ax.set_ylim(-most, most)
    ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    ax.set_xlabel("rate of a link")
    ax.set_ylabel("error")
    ax.set_title("error of the prediction")


_BAND: Any = {"color": style.GREY, "alpha": 0.15, "linewidth": 0, "zorder": 0}


def _point(colour: str, compute: str) -> dict[str, Any]:
    return {
        "linestyle": "",
        "marker": _MARKERS.get(compute, "D"),
        "markersize": 3.5,
        "color": colour,
        "markerfacecolor": colour if compute == "paced" else "none",
        "markeredgewidth": 0.7,
        "zorder": 3,
    }


def _key(fig: Figure, table: pd.DataFrame, colours: dict[str, str]) -> None:
    handles = [Line2D([], [], label=kind, **_point(colours[kind], "paced")) for kind in colours]
    handles += [
        Line2D([], [], label=f"{compute} compute", **_point(style.GREY, str(compute)))
        for compute in table["compute"].unique()
    ]
    fig.legend(handles=handles, loc="outside lower center", ncols=4)
