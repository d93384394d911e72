"""What codecs lose for the bits they send, and whether a closed form would have told so."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

from figures import panels, style
from figures.replayed import replayed
from traces.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from traces.trace import Trace

#: A row for each codec and way of applying it: NMSE of all layers and coded steps together.
COLUMNS = (
    "subject", "evidence", "tensor", "codec", "way", "bits_per_element", "nmse", "predicted_nmse",
)  # fmt: skip

_MARKERS = ("o", "s", "^", "v", "D", "P", "X", "<", ">", "*")


def table(trace: Trace, tensor: str) -> pd.DataFrame:
    """Codecs of several rates, warm-up left out of the bits.

    Raises InputError for an unknown tensor.
    """
    found = replayed(trace, tensor)
    names = {
        "coded_bits_per_element": "bits_per_element",
        "pooled_nmse": "nmse",
        "pooled_predicted_nmse": "predicted_nmse",
    }
    rows = found[list(names)].to_dataframe().reset_index().rename(columns=names)
    rows = rows.assign(tensor=tensor)
    return panels.described(rows, panels.about(trace), "measured")[list(COLUMNS)]


def draw(table: pd.DataFrame) -> Figure:
    """NMSE against bits on the left, predicted against replayed NMSE on the right.

    Lines join, for each way, what no codec of fewer bits beats. Raises InputError for a table of
    something else, and where no codec loses anything.
    """
    panels.check(table, COLUMNS, "rate and distortion")
    lossy = table[table["nmse"] > 0]
    if lossy.empty:
        raise InputError("rate and distortion: no codec lost anything")
    colours = style.colours(lossy["way"].tolist())
    families = list(dict.fromkeys(lossy["codec"].str.partition(":")[0]))
    with style.look():
        fig = style.figure(3.6)
        left, right = fig.subplots(1, 2, width_ratios=(1.35, 1))
        for ax, x in ((left, "bits_per_element"), (right, "predicted_nmse")):
            for (way, codec), rows in lossy.groupby(["way", "codec"], sort=False):
                family = str(codec).partition(":")[0]
                ax.plot(
                    rows[x], rows["nmse"], linestyle="", color=colours[str(way)],
                    marker=_MARKERS[families.index(family) % len(_MARKERS)], markersize=4.5,
                    markeredgecolor="white", markeredgewidth=0.4,
                )  # fmt: skip
            ax.set_xscale("log")
            ax.set_yscale("log")
        for way, rows in lossy.groupby("way", sort=False):
            _front(left, rows, colours[str(way)])
        left.set_xlabel("bits sent for a number")
        left.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        left.xaxis.set_major_formatter(FormatStrFormatter("%g"))
        left.xaxis.set_minor_formatter(NullFormatter())
        left.set_ylabel("NMSE of what receivers hold")
        panels.head(left, "rate and distortion", "measured")
        _diagonal(right, lossy)
        panels.headline(fig, table.assign(subject=table["tensor"] + " of " + table["subject"]))
        _key(fig, colours, families)
    return fig


def _front(ax: Axes, rows: pd.DataFrame, colour: str) -> None:
    ordered = rows.sort_values(["bits_per_element", "nmse"])
    best = ordered[ordered["nmse"] < ordered["nmse"].cummin().shift(fill_value=np.inf)]
    ax.plot(best["bits_per_element"], best["nmse"], color=colour, linewidth=1, alpha=0.8)


def _diagonal(ax: Axes, rows: pd.DataFrame) -> None:
    both = rows.dropna(subset=["nmse", "predicted_nmse"])
    if len(both):
        numbers = both[["nmse", "predicted_nmse"]].to_numpy()
        ends = [float(numbers.min()), float(numbers.max())]
        ax.plot(ends, ends, color=style.GREY, linewidth=0.8, linestyle="--", zorder=0)
    ax.set_xlabel("NMSE by the closed form (predicted)")
    ax.set_ylabel("NMSE replayed (measured)")
    panels.head(ax, "below the line: better", "")


def _key(fig: Figure, colours: dict[str, str], families: list[str]) -> None:
    handles = [Line2D([], [], color=colour, label=way) for way, colour in colours.items()]
    handles += [
        Line2D(
            [], [], linestyle="", color=style.GREY, markersize=4.5,
            marker=_MARKERS[place % len(_MARKERS)], label=family,
        )
        for place, family in enumerate(families)
    ]  # fmt: skip
    fig.legend(handles=handles, loc="outside lower center", ncols=6)
