"""Where a tensor changes from step to step: which tokens of the image, and which channels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.colors import Normalize
from matplotlib.ticker import PercentFormatter

from figures import heatmap, panels, style
from figures.places import COORDS
from traces.errors import InputError

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage
    from numpy.typing import NDArray

    from traces.trace import Trace

#: A row for each layer and token (`by` is "token"), and for each layer and channel ("channel";
#: `row` is -1 and `column` the channel): |x_t - x_(t-1)| / |x_t|, a mean over steps.
COLUMNS = ("subject", "evidence", "tensor", "by", "layer", "row", "column", "change")

_LAYERS = 4


def table(trace: Trace, tensor: str) -> pd.DataFrame:
    """Of a few layers from the first to the last, in `analysis.redundancy_maps`' numbers.

    Means over the steps that are known. A video's frames are averaged, too. Raises InputError for
    an unknown tensor, and where there are not two steps.
    """
    from analysis.redundancy_maps import redundancy_maps

    found = redundancy_maps(trace, tensor)
    layers = found["layer"].to_numpy()
    some = layers[np.unique(np.linspace(0, len(layers) - 1, _LAYERS).round().astype(int))]
    of_tokens = found["token_relative_l2"].sel(layer=some).mean("step")
    of_channels = found["channel_relative_l2"].sel(layer=some).mean("step")
    tokens = _rows(_image(of_tokens)).assign(by="token")
    channels = _rows(of_channels.rename(channel="column")).assign(by="channel", row=-1)
    rows = pd.concat([tokens, channels], ignore_index=True).assign(tensor=tensor)
    return panels.described(rows, panels.about(trace), "measured")[list(COLUMNS)]


def _image(of_tokens: xr.DataArray) -> xr.DataArray:
    if "frame" in of_tokens.dims:
        of_tokens = of_tokens.mean("frame")
    if "token" in of_tokens.dims:  # of no image that is known
        of_tokens = of_tokens.expand_dims(row=1).rename({"token": "column"})
    return of_tokens


def _rows(values: xr.DataArray) -> pd.DataFrame:
    counted = {dim: range(values.sizes[dim]) for dim in COORDS if dim in values.dims}
    return values.assign_coords(counted).rename("change").to_dataframe().reset_index()


def draw(table: pd.DataFrame) -> Figure:
    """Above the image's tokens, layer beside layer; below all channels, layer under layer.

    Raises InputError for a table of something else.
    """
    panels.check(table, COLUMNS, "maps of change")
    by_token, by_channel = (table[table["by"] == name] for name in ("token", "channel"))
    if by_token.empty or by_channel.empty:
        raise InputError("maps of change: rows by token and by channel are expected")
    maps = {
        str(layer): rows.pivot_table("change", *COORDS, dropna=False)
        for layer, rows in by_token.groupby("layer")
    }
    channels = by_channel.pivot_table("change", "layer", "column", dropna=False)
    grids = [each.to_numpy(float) for each in maps.values()]
    evidence = str(table["evidence"].iloc[0])
    with style.look():
        fig = style.figure(3.6)
        parts: Any = fig.subfigures(2, 1, height_ratios=(1.55, 1))
        above, below = parts
        axes = list(np.ravel(above.subplots(1, len(maps), sharey=True)))
        norm = _limits(*grids)
        for ax, (layer, each) in zip(axes, maps.items(), strict=True):
            image = heatmap.heatmap(ax, each.to_numpy(float), norm)
            ax.set_aspect("equal" if len(each) > 1 else "auto")
            heatmap.ticks(ax, list(each.index), list(each.columns), 4)
            ax.set_xlabel("column")
            panels.head(ax, f"layer {layer}", evidence)
        axes[0].set_ylabel("row")
        _bar(above, image, axes)
        ax = below.subplots()
        values = channels.to_numpy(float)
        image = heatmap.heatmap(ax, values, _limits(values))
        heatmap.ticks(ax, list(channels.index), list(channels.columns), 10)
        ax.set_xlabel("channel")
        ax.set_ylabel("layer")
        panels.head(ax, "channels, over all tokens", evidence)
        _bar(below, image, [ax])
        panels.headline(fig, table.assign(subject=table["tensor"] + " of " + table["subject"]))
        if heatmap.gaps_in(*grids, values):
            fig.legend(handles=[panels.gap_key()], loc="outside lower center")
    return fig


def _limits(*grids: NDArray[np.float64]) -> Normalize:
    """From none to nearly the largest; a few that change wholly are at the end of the scale."""
    numbers = np.concatenate([grid.ravel() for grid in grids])
    known = numbers[np.isfinite(numbers)]
    return Normalize(0.0, float(np.quantile(known, 0.99)) if known.size else 1.0)


def _bar(part: Any, image: AxesImage, axes: list[Axes]) -> None:
    bar = heatmap.colour_bar(part, image, axes, "relative change")
    bar.ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
