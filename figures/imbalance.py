"""How unevenly experts and their ranks are wanted, and what that does to the all-to-all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator

from figures import panels, style
from traces.errors import InputError

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from traces.trace import Trace

#: A row for each measure, layer and step. `expert` and `rank`: the largest load over the mean, as
#: chosen; `slowdown`: what the dispatch takes over what it would with equal parts, predicted.
COLUMNS = ("subject", "evidence", "measure", "layer", "step", "value")

_NETWORK = "8x4090-pcie"
_LOADS = {"expert": "of any expert", "rank": "of any rank"}


def table(trace: Trace) -> pd.DataFrame:
    """In `analysis.imbalance`'s numbers, the dispatch on eight GPUs over PCIe.

    NaN for a slowdown that is not known: of a network with fewer places than ranks, of a model that
    is not known, or where nothing is sent. Raises InputError where no choices were kept.
    """
    from analysis.imbalance import dispatch_times_on, imbalance

    found = imbalance(trace)
    about = panels.about(trace)
    parts = [panels.described(_rows(found[name], name), about, "measured") for name in _LOADS]
    try:
        slower = dispatch_times_on(trace, _NETWORK)["slowdown"]
    except InputError:
        slower = found["rank"] * np.nan
    parts.append(panels.described(_rows(slower, "slowdown"), about, "predicted"))
    return pd.concat(parts, ignore_index=True)[list(COLUMNS)]


def _rows(values: xr.DataArray, measure: str) -> pd.DataFrame:
    return values.rename("value").to_dataframe().reset_index().assign(measure=measure)


def draw(table: pd.DataFrame) -> Figure:
    """Over the steps, the mean over layers in a band of all of them: loads, and time at the right.

    Raises InputError for a table of something else.
    """
    panels.check(table, COLUMNS, "imbalance")
    colours, gaps = style.colours([*_LOADS, "slowdown"]), False
    with style.look():
        fig = style.figure(2.6)
        left, right = fig.subplots(1, 2, sharex=True)
        for place, (name, label) in enumerate(_LOADS.items()):
            gaps |= _line(left, table[table["measure"] == name], colours[name], place, label)
        gaps |= _line(
            right, table[table["measure"] == "slowdown"], colours["slowdown"], 0, ""
        )  # fmt: skip
        for ax in (left, right):
            ax.axhline(1.0, color=style.GREY, linewidth=0.8)
            ax.set_xlabel("step")
            ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        left.set_ylabel("largest load / mean")
        right.set_ylabel("time / that of even loads")
        left.legend(loc="upper center")
        panels.head(left, "load", "measured")
        panels.head(right, f"dispatch on {_NETWORK}", "predicted")
        panels.headline(fig, table)
        if gaps:
            fig.legend(handles=[panels.gap_key()], loc="outside lower center")
    return fig


def _line(ax: Axes, rows: pd.DataFrame, colour: str, place: int, label: str) -> bool:
    """Says whether any step is without a number."""
    steps = rows.groupby("step")["value"]
    low, high = steps.min(), steps.max()
    ax.fill_between(low.index, low, high, color=colour, alpha=0.15, linewidth=0)
    mean = steps.mean()
    ax.plot(mean.index, mean, color=colour, linestyle=panels.line_style(place), label=label)
    return panels.shade_gaps(ax, rows.set_index("step")["value"])
