"""How large activations are, how much they change from step to step, and that change in turn."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.colors import Normalize
from matplotlib.ticker import MaxNLocator, NullFormatter

from figures import heatmap, panels, style
from traces.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

    from traces.trace import Trace

#: A row for each tensor, layer and step: Frobenius norms over all ranks, and a ratio.
COLUMNS = (
    "subject", "evidence", "tensor", "layer", "step", "activation_norm", "residual_norm",
    "second_residual_norm", "residual_ratio",
)  # fmt: skip

_NORMS = {
    "activation_norm": "activation",
    "residual_norm": "residual",
    "second_residual_norm": "second residual",
}
_TENSORS = 4  # under each other
_UNLIKE = ("chosen", "latent", "scores")  # that are no activations to be sent


def table(trace: Trace) -> pd.DataFrame:
    """Of kept activations, in `analysis.redundancy`'s numbers. NaN where there is no step before.

    Raises InputError where none was kept.
    """
    from analysis.redundancy import redundancy
    from analysis.sketched import comparable

    kept = [name for name in comparable(trace) if name not in _UNLIKE][:_TENSORS]
    if not kept:
        raise InputError("no activations were kept: record with --keep kv,hidden")
    wanted = list(COLUMNS[5:])
    parts = []
    for name in kept:
        found = redundancy(trace, name)
        rows = found[wanted].to_dataframe().reset_index()
        parts.append(rows.assign(tensor=name, evidence=found.attrs["evidence"]))
    rows = pd.concat(parts, ignore_index=True).assign(subject=panels.about(trace))
    return rows[list(COLUMNS)]


def draw(table: pd.DataFrame) -> Figure:
    """A row for each tensor: norms over the steps on the left, ratios by layer on the right.

    Raises InputError for a table of something else.
    """
    panels.check(table, COLUMNS, "residuals")
    shown = list(table.groupby("tensor", sort=False))
    ratios = table["residual_ratio"].to_numpy(float)
    # The first steps change everything; they are at the end of the scale, and the rest is seen.
    top = float(np.nanquantile(ratios, 0.95)) if np.isfinite(ratios).any() else 1.0
    with style.look():
        fig = style.figure(0.9 + 1.55 * len(shown))
        grid = fig.subplots(len(shown), 2, squeeze=False, sharex="col", sharey=False)
        for (left, right), (name, rows) in zip(grid, shown, strict=True):
            _curves(left, rows, str(name))
            image = _map(right, rows, Normalize(0, top or 1.0), str(name))
        grid[-1][0].set_xlabel("step")
        grid[-1][1].set_xlabel("step")
        bar = heatmap.colour_bar(fig, image, list(grid[:, 1]), "residual / activation")
        bar.ax.set_title("≥" if np.nanmax(ratios, initial=0) > top else "", fontsize=7, pad=2)
        panels.headline(fig, table)
        handles, labels = grid[0][0].get_legend_handles_labels()
        fig.legend(
            [*handles, panels.gap_key()], [*labels, "no data"], loc="outside lower center", ncols=4
        )
    return fig


def _curves(ax: Axes, rows: pd.DataFrame, name: str) -> None:
    """The root of the sum of squares over layers: the norm of them all together."""
    colours = style.colours(list(_NORMS))
    for place, (column, label) in enumerate(_NORMS.items()):
        squares = rows.assign(square=rows[column] ** 2).pivot_table(
            "square", "step", "layer", dropna=False
        )
        together = np.sqrt(squares.sum(axis=1, skipna=False))
        ax.plot(
            squares.index, together, color=colours[column], linestyle=panels.line_style(place),
            label=label,
        )  # fmt: skip
    ax.set_yscale("log")
    ax.yaxis.set_minor_formatter(NullFormatter())
    ax.set_ylabel("norm")
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    panels.head(ax, f"{name}, all layers", str(rows["evidence"].iloc[0]))


def _map(ax: Axes, rows: pd.DataFrame, norm: Normalize, name: str) -> AxesImage:
    grid = rows.pivot_table("residual_ratio", "layer", "step", dropna=False)
    image = heatmap.heatmap(ax, grid.to_numpy(float), norm)
    heatmap.ticks(ax, list(grid.index), list(grid.columns))
    ax.set_ylabel("layer")
    panels.head(ax, f"{name}, by layer", str(rows["evidence"].iloc[0]))
    return image
