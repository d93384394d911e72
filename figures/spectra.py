"""In how many directions activations and residuals have their energy, beside Gaussian noise."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.ticker import (
    FormatStrFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    PercentFormatter,
)

from figures import panels, style

if TYPE_CHECKING:
    import xarray as xr
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from traces.trace import Trace

#: A row for each quantity, kind of matrix (an order, or noise) and place: an index of singular
#: values from 1, or a step. Median and quartiles over layers and steps (or layers alone).
COLUMNS = ("subject", "evidence", "tensor", "quantity", "order", "at", "low", "median", "high")

NOISE = "Gaussian noise"
_QUANTITIES = {
    "singular_value": ("singular value / norm", "index of the singular value"),
    "energy": ("share of the energy", "in so many directions"),
    "entropy_rank": ("effective rank", "step"),
}


def table(trace: Trace, tensor: str) -> pd.DataFrame:
    """In `analysis.spectra`'s numbers; noise is a seeded matrix of the same shape.

    Raises InputError for an unknown tensor.
    """
    from analysis.spectra import spectra

    found = spectra(trace, tensor)
    parts = [_quantity(found, name) for name in _QUANTITIES]
    rows = pd.concat(parts, ignore_index=True).assign(tensor=tensor)
    described = panels.described(rows, panels.about(trace), "measured")
    described.loc[described["order"] == NOISE, "evidence"] = "predicted"
    return described[list(COLUMNS)]


def _quantity(found: xr.Dataset, name: str) -> pd.DataFrame:
    place = "step" if name == "entropy_rank" else "index"
    values = found[name].to_series().rename_axis(index={place: "at"})
    levels = values.groupby(["order", "at"], sort=False).quantile(np.array([0.25, 0.5, 0.75]))
    wide = levels.rename_axis(["order", "at", "level"]).reset_index()
    wide = wide.pivot_table(name, ["order", "at"], "level", sort=False, dropna=False)
    wide = wide.rename(columns={0.25: "low", 0.5: "median", 0.75: "high"}).reset_index()
    noise = found[f"gaussian_{name}"]
    places = found[place].to_numpy() if place in found.coords else range(found.sizes[place])
    rows = pd.DataFrame({"at": places, "order": NOISE, "median": noise.to_numpy()})
    rows = rows.assign(low=rows["median"], high=rows["median"])
    both = pd.concat([wide, rows], ignore_index=True).assign(quantity=name)
    return both.assign(at=both["at"] + (place == "index"))


def draw(table: pd.DataFrame) -> Figure:
    """Singular values, their energy added up, and effective rank by step.

    Raises InputError for a table of something else.
    """
    panels.check(table, COLUMNS, "spectra")
    shown = list(table.groupby("quantity", sort=False))
    colours = style.colours([name for name in table["order"].unique() if name != NOISE])
    with style.look():
        fig = style.figure(2.75)
        axes = panels.grid(fig, len(shown), 3, share=False)
        for ax, (quantity, rows) in zip(axes, shown, strict=True):
            for place, (order, line) in enumerate(rows.groupby("order", sort=False)):
                _line(ax, line, {**colours, NOISE: "black"}[str(order)], place)
            label, along = _QUANTITIES[str(quantity)]
            ax.set_xlabel(along)
            ax.set_ylabel(label)
            panels.head(ax, "", "measured")
            _scales(ax, str(quantity))
        panels.headline(fig, table.assign(subject=table["tensor"] + " of " + table["subject"]))
        fig.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    return fig


def _line(ax: Axes, rows: pd.DataFrame, colour: str, place: int) -> None:
    order = str(rows["order"].iloc[0])
    looks: dict[str, Any] = {"linestyle": panels.line_style(place), "color": colour}
    looks |= {"linewidth": 1.0} if order == NOISE else {}
    ax.plot(rows["at"], rows["median"], label=order, **looks)
    ax.fill_between(rows["at"], rows["low"], rows["high"], color=colour, alpha=0.15, linewidth=0)


def _scales(ax: Axes, quantity: str) -> None:
    if quantity == "entropy_rank":
        ax.set_ylim(bottom=0)
        ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        return
    ax.set_xscale("log")
    ax.xaxis.set_major_locator(LogLocator(subs=(1.0, 3.0)))
    ax.xaxis.set_major_formatter(FormatStrFormatter("%g"))
    ax.xaxis.set_minor_formatter(NullFormatter())
    if quantity == "energy":
        ax.set_ylim(0, 1.02)
        ax.yaxis.set_major_formatter(PercentFormatter(1.0))
    else:
        ax.set_yscale("log")
        ax.set_ylim(bottom=max(ax.get_ylim()[0], 1e-4))
