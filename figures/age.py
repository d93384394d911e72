"""How old the activations are that a rank uses of others, by step and layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.colors import BoundaryNorm

from figures import heatmap, panels, style
from traces.errors import InputError

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.figure import Figure

    from traces.trace import Trace

#: A row for each transfer's name, step and layer; `age` in steps is the oldest of all ranks.
COLUMNS = ("subject", "evidence", "transfer", "step", "layer", "age")

_ACROSS = 2
_MOST = 9  # older ones share a colour


def table(trace: Trace) -> pd.DataFrame:
    """Of all transfers that some rank waits for within layers, and of experts' outputs.

    In `analysis.staleness.ages`' numbers; NaN where nothing was used. Raises InputError where
    there are none.
    """
    from analysis.staleness import ages

    found = ages(trace)
    parts = []
    if "transfers" in found:
        waited = found["transfers"]
        parts += [
            _rows(waited.sel(transfer=name), str(name)) for name in waited["transfer"].to_numpy()
        ]
    if "outputs" in found:
        outputs = found["outputs"]
        parts += [
            _rows(outputs.sel(slot=slot), f"outputs, slot {slot}")
            for slot in outputs["slot"].to_numpy()
        ]
    rows = pd.concat(parts, ignore_index=True)
    inside = rows[rows["layer"] >= 0]
    if inside["age"].isna().all():
        raise InputError("nothing that others made is used within a layer, so nothing has an age")
    return panels.described(inside, panels.about(trace), trace.run.evidence)


def _rows(ages: xr.DataArray, name: str) -> pd.DataFrame:
    rows = ages.rename("age").to_dataframe().reset_index()
    return rows[["step", "layer", "age"]].assign(transfer=name)[list(COLUMNS[2:])]


def draw(table: pd.DataFrame) -> Figure:
    """A panel for each name, with a colour for each whole number of steps.

    Raises InputError for a table of something else.
    """
    panels.check(table, COLUMNS, "ages")
    shown = list(table.groupby("transfer", sort=False))
    grids = [rows.pivot_table("age", "layer", "step", dropna=False) for _, rows in shown]
    grids = [grid.dropna(axis="index", how="all") for grid in grids]
    oldest = int(np.clip(table["age"].max(), 1, _MOST))
    norm = BoundaryNorm(np.arange(-0.5, oldest + 1), oldest + 1, clip=True)
    cmap = colormaps[style.SEQUENTIAL].resampled(oldest + 1)
    with style.look():
        fig = style.figure(0.75 + 1.5 * panels.down(len(shown), _ACROSS))
        axes = panels.grid(fig, len(shown), _ACROSS)
        for ax, (name, rows), grid in zip(axes, shown, grids, strict=True):
            image = heatmap.heatmap(ax, grid.to_numpy(float), norm, cmap)
            heatmap.ticks(ax, list(grid.index), list(grid.columns))
            panels.head(ax, str(name), str(rows["evidence"].iloc[0]))
        panels.outer_labels(axes, _ACROSS, "step", "layer")
        panels.headline(fig, table)
        bar = heatmap.colour_bar(fig, image, axes, "age, steps")
        bar.set_ticks(range(oldest + 1))
        bar.minorticks_off()
        if heatmap.gaps_in(*(grid.to_numpy(float) for grid in grids)):
            fig.legend(handles=[panels.gap_key()], loc="outside lower center")
    return fig
