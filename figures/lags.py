"""How alike activations are to those of so many steps before: what staleness of that age costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.ticker import MaxNLocator

from figures import panels, style
from traces.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from traces.trace import Trace

#: A row for each tensor, measure and lag: mean over all pairs of steps and all layers, and the
#: standard deviation over layers.
COLUMNS = ("subject", "evidence", "tensor", "measure", "lag", "mean", "spread")

_MEASURES = {"cosine": "cosine", "relative_l2": "relative L2 distance"}


def table(trace: Trace) -> pd.DataFrame:
    """All kept tensors, in `analysis.redundancy`'s numbers. Raises InputError where there are none.

    The rounding of what was kept sets the least distance that can be seen.
    """
    from analysis.redundancy import redundancy
    from analysis.sketched import comparable

    kept = comparable(trace)
    if not kept:
        raise InputError("no activations were kept: record with --keep kv,hidden")
    parts = []
    for tensor in kept:
        found = redundancy(trace, tensor)
        for measure in _MEASURES:
            means = found[f"{measure}_lag_mean"].to_series().rename("mean")
            spread = found[f"{measure}_lag_spread"].to_series().rename("spread")
            rows = pd.concat([means, spread], axis=1).reset_index()
            evidence = found.attrs["evidence"]
            parts.append(rows.assign(tensor=tensor, measure=measure, evidence=evidence))
    rows = pd.concat(parts, ignore_index=True).assign(subject=panels.about(trace))
    return rows[list(COLUMNS)]


def draw(table: pd.DataFrame) -> Figure:
    """A panel for each measure, a line for each tensor, a band for how layers differ.

    Raises InputError for a table of something else.
    """
    panels.check(table, COLUMNS, "lags")
    names = table["tensor"].unique().tolist()
    colours, gaps = style.colours(names), False
    with style.look():
        fig = style.figure(2.7)
        shown = list(table.groupby("measure", sort=False))
        axes = panels.grid(fig, len(shown), 2, share=False)
        for ax, (measure, rows) in zip(axes, shown, strict=True):
            for place, name in enumerate(names):
                _line(ax, rows[rows["tensor"] == name], colours[name], place)
            gaps |= panels.shade_gaps(ax, rows.set_index("lag")["mean"])
            ax.set_xlabel("lag, steps")
            ax.set_ylabel(_MEASURES[str(measure)])
            ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
            panels.head(ax, "", "; ".join(dict.fromkeys(rows["evidence"])))
        axes[-1].set_ylim(bottom=0)
        panels.headline(fig, table)
        handles, _ = axes[0].get_legend_handles_labels()
        handles += [panels.gap_key()] * gaps
        fig.legend(handles=handles, loc="outside lower center", ncols=min(6, len(handles)))
    return fig


def _line(ax: Axes, rows: pd.DataFrame, colour: str, place: int) -> None:
    name = str(rows["tensor"].iloc[0])
    low, high = rows["mean"] - rows["spread"], rows["mean"] + rows["spread"]
    ax.fill_between(rows["lag"], low, high, color=colour, alpha=0.15, linewidth=0)
    ax.plot(rows["lag"], rows["mean"], color=colour, linestyle=panels.line_style(place), label=name)
