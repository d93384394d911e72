"""How often tokens go where they went some steps ago: to the same experts, and the same ranks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.ticker import MaxNLocator, PercentFormatter

from figures import panels, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from traces.trace import Trace

#: A row for each measure, layer, step and lag; `agreement` from 0 to 1.
COLUMNS = ("subject", "evidence", "measure", "layer", "step", "lag", "agreement")

_NAMES = {
    "top_1": "best expert",
    "top_k": "experts",
    "jaccard": "experts (Jaccard)",
    "weighted": "weighted by score",
    "destination": "ranks",
}
_LAGS = 8


def table(trace: Trace) -> pd.DataFrame:
    """All of `analysis.routing_agreement`. Raises InputError where no choices were kept."""
    from analysis.routing_agreement import agreement

    found = agreement(trace, _LAGS)
    parts = [
        found[name].rename("agreement").to_dataframe().reset_index().assign(measure=name)
        for name in _NAMES
    ]
    rows = pd.concat(parts, ignore_index=True)
    return panels.described(rows, panels.about(trace), "measured")[list(COLUMNS)]


def draw(table: pd.DataFrame) -> Figure:
    """Left by lag, over all layers and steps; right by step, with the step before.

    Bands are the standard deviation over layers. Raises InputError for a table of something else.
    """
    panels.check(table, COLUMNS, "agreement")
    with style.look():
        fig = style.figure(2.8)
        left, right = fig.subplots(1, 2, sharey=True)
        first = table[table["lag"] == table["lag"].min()]
        for ax, rows, at, label in (
            (left, table, "lag", "lag, steps"),
            (right, first, "step", "step"),
        ):
            for place, name in enumerate(_NAMES):
                _line(ax, rows[rows["measure"] == name], at, place)
            ax.set_xlabel(label)
            ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
        left.set_ylabel("agreement")
        left.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        evidence = str(table["evidence"].iloc[0])
        panels.head(left, "with so many steps before", evidence)
        panels.head(right, "with the step before", evidence)
        panels.headline(fig, table)
        fig.legend(*left.get_legend_handles_labels(), loc="outside lower center", ncols=5)
    return fig


def _line(ax: Axes, rows: pd.DataFrame, at: str, place: int) -> None:
    """Nothing for a measure that is nowhere known."""
    if rows["agreement"].isna().all():
        return
    name = str(rows["measure"].iloc[0])
    by_layer = rows.groupby([at, "layer"])["agreement"].mean()
    levels = by_layer.groupby(at)
    mean, spread = levels.mean(), levels.std(ddof=0)
    colour = style.colours(list(_NAMES))[name]
    x = mean.index.to_numpy()
    ax.plot(x, mean, color=colour, linestyle=panels.line_style(place), label=_NAMES[name])
    ax.fill_between(x, mean - spread, mean + spread, color=colour, alpha=0.12, linewidth=0)
