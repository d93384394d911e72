"""Which experts are wanted: by step, by place in the image and by class, layer beside layer."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.colors import TwoSlopeNorm

from figures import heatmap, panels, style

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from traces.trace import Trace

#: A row for each layer, what it is split by (step, patch, class), place in that, and expert.
#: `share` is times the even share of that place's slots; NaN where nothing was kept.
COLUMNS = ("subject", "evidence", "layer", "by", "at", "expert", "share")

_LAYERS = 4
_NAMES = {"step": "step", "patch": "patch, row by row", "class": "class"}
_HEIGHTS = {"step": 1.3, "patch": 1.5, "class": 1.3}


def table(trace: Trace) -> pd.DataFrame:
    """Of a few layers from the first to the last, in `analysis.routing`'s numbers.

    By class where labels were kept. Raises InputError where no choices were.
    """
    from analysis.routing import loads

    found = loads(trace)
    layers = found["layer"].to_numpy()
    chosen = layers[np.unique(np.linspace(0, len(layers) - 1, _LAYERS).round().astype(int))]
    found = found.sel(layer=chosen)
    parts = [
        _rows(found["load"].sum("rank", min_count=found.sizes["rank"]), "step", "step"),
        _rows(found["load_by_token"], "token", "patch"),
    ]
    if "load_by_class" in found:
        drawn = found["load_by_class"]
        nothing = found.attrs.get("no_class")
        named = drawn if nothing is None else drawn.sel({"class": drawn["class"] != nothing})
        parts.append(_rows(named, "class", "class"))
    rows = pd.concat(parts, ignore_index=True)
    return panels.described(rows, panels.about(trace), "measured")[list(COLUMNS)]


def _rows(load: xr.DataArray, dim: str, by: str) -> pd.DataFrame:
    """Loads as multiples of what each expert would get of the place's slots."""
    even = load.mean("expert", skipna=False)
    share = (load / even.where(even > 0)).rename("share")
    counted = {
        name: range(share.sizes[name]) for name in (dim, "expert") if name not in share.coords
    }
    rows: pd.DataFrame = share.assign_coords(counted).to_dataframe().reset_index()
    rows = rows.rename(columns={dim: "at"})
    return rows[["layer", "at", "expert", "share"]].assign(by=by)


def draw(table: pd.DataFrame) -> Figure:
    """A row of panels for each of step, patch and class, a column for each layer.

    Raises InputError for a table of something else.
    """
    panels.check(table, COLUMNS, "routing")
    kinds, layers = list(dict.fromkeys(table["by"])), sorted(table["layer"].unique())
    values = table["share"].to_numpy(float)
    known = values[np.isfinite(values)]
    top = float(np.quantile(known, 0.995)) if len(known) else 2.0
    norm = TwoSlopeNorm(1.0, 0.0, max(2.0, top))
    with style.look():
        fig = style.figure(0.9 + sum(_HEIGHTS[kind] for kind in kinds))
        grid = fig.subplots(
            len(kinds), len(layers), squeeze=False, sharex=True, sharey="row",
            height_ratios=[_HEIGHTS[kind] for kind in kinds],
        )  # fmt: skip
        for axes, kind in zip(grid, kinds, strict=True):
            for ax, layer in zip(axes, layers, strict=True):
                image = _panel(ax, table[(table["by"] == kind) & (table["layer"] == layer)], norm)
            axes[0].set_ylabel(_NAMES[kind])
        for ax, layer in zip(grid[0], layers, strict=True):
            panels.head(ax, f"layer {layer}", str(table["evidence"].iloc[0]))
        for ax in grid[-1]:
            ax.set_xlabel("expert")
        bar = heatmap.colour_bar(fig, image, list(grid.ravel()), "times the even share")
        bar.set_ticks([0, 0.5, 1, *range(2, int(max(2.0, top)) + 1)])
        panels.headline(fig, table)
        if np.isnan(values).any():
            fig.legend(handles=[panels.gap_key()], loc="outside lower center")
    return fig


def _panel(ax: Axes, rows: pd.DataFrame, norm: TwoSlopeNorm) -> Any:
    grid = rows.pivot_table("share", "at", "expert", dropna=False)
    image = heatmap.heatmap(ax, grid.to_numpy(float), norm, f"{style.DIVERGING}_r")
    heatmap.ticks(ax, list(grid.index), list(grid.columns))
    return image
