"""What is wrong where an activation of some steps ago is used: by layer and place in the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd
from matplotlib.ticker import MaxNLocator, PercentFormatter

from figures import heatmap, panels, style
from figures.places import COORDS, on_image
from traces.errors import InputError

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from traces.trace import Trace

#: A row for each layer and age (`by` is "layer"; `row` and `column` are -1), and for each age and
#: token of the image (`by` is "token"; `layer` is -1): relative L2 error, a mean over steps.
COLUMNS = ("subject", "evidence", "tensor", "by", "layer", "row", "column", "age", "error")


def table(trace: Trace, tensor: str) -> pd.DataFrame:
    """In `analysis.staleness_error`'s numbers; of tokens, means over layers too.

    All ages over the same steps, those for which the oldest is there, as far as they are known.
    Raises InputError for an unknown tensor, where there are not two steps, and where no error is
    known, as of activations that are zero.
    """
    from analysis.staleness_error import error_by_age

    found = error_by_age(trace, tensor)
    from_step = found.sizes["age"]
    by_layer = found["relative_l2"].isel(step=slice(from_step, None)).mean("step")
    if by_layer.isnull().all():  # noqa: PD003 - of xarray, which has no other name for it
        raise InputError(
            f"{tensor}: no error is known; {found.attrs['gaps'] or 'nothing was kept'}"
        )
    layers = _rows(by_layer).assign(by="layer", row=-1, column=-1)
    tokens = _rows(on_image(trace, found["token_map"].mean("layer"))).assign(by="token", layer=-1)
    rows = pd.concat([layers, tokens], ignore_index=True).assign(tensor=tensor)
    return panels.described(rows, panels.about(trace), "measured")[list(COLUMNS)]


def _rows(values: xr.DataArray) -> pd.DataFrame:
    return values.rename("error").to_dataframe().reset_index()


def draw(table: pd.DataFrame) -> Figure:
    """On the left a line for each age over the layers; beside it tokens, of the least age and most.

    Raises InputError for a table of something else.
    """
    panels.check(table, COLUMNS, "staleness")
    by_layer, by_token = (table[table["by"] == name] for name in ("layer", "token"))
    if by_layer.empty or by_token.empty:
        raise InputError("staleness: rows by layer and by token are expected")
    ages = sorted({int(by_token["age"].min()), int(by_token["age"].max())})
    maps = [by_token[by_token["age"] == age].pivot_table("error", *COORDS, dropna=False)
            for age in ages]  # fmt: skip
    grids = [each.to_numpy(float) for each in maps]
    with style.look():
        fig = style.figure(2.6)
        left, *rest = fig.subplots(1, 1 + len(ages), width_ratios=[1.5, *[1.0] * len(ages)])
        gaps = _lines(left, by_layer) or heatmap.gaps_in(*grids)
        norm = heatmap.limits(*grids)
        for ax, age, each, grid in zip(rest, ages, maps, grids, strict=True):
            image = heatmap.heatmap(ax, grid, norm)
            ax.set_aspect("equal")
            heatmap.ticks(ax, list(each.index), list(each.columns))
            ax.set_xlabel("column")
            panels.head(ax, f"{age} step{'s' * (age > 1)} old", "measured")
        rest[0].set_ylabel("row")
        bar = heatmap.colour_bar(fig, image, rest, "relative L2 error")
        bar.ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        panels.headline(fig, table.assign(subject=table["tensor"] + " of " + table["subject"]))
        if gaps:
            fig.legend(handles=[panels.gap_key()], loc="outside lower center")
    return fig


def _lines(ax: Axes, rows: pd.DataFrame) -> bool:
    """Darker for older; says whether any layer is without a number."""
    ages = sorted(rows["age"].unique())
    colours = style.shades(len(ages))
    for place, age in enumerate(ages):
        line = rows[rows["age"] == age]
        ax.plot(
            line["layer"], line["error"], color=colours[place], marker="o", markersize=2.5,
            linestyle=panels.line_style(place), label=str(int(age)),
        )  # fmt: skip
    ax.set_xlabel("layer")
    ax.set_ylabel("relative L2 error")
    ax.xaxis.set_major_locator(MaxNLocator(6, integer=True))
    ax.yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
    ax.set_ylim(0, 1.35 * float(rows["error"].max()) or 1.0)
    ax.legend(title="steps old", ncols=len(ages), loc="upper center", title_fontsize=7.5)
    panels.head(ax, "all tokens", str(rows["evidence"].iloc[0]))
    return panels.shade_gaps(ax, rows.set_index("layer")["error"])
