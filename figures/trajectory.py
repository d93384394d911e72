"""The paths of several runs where the first moves most: which follow it, and which drift."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.ticker import MaxNLocator, PercentFormatter

from figures import panels, style
from figures.comparable import comparable
from traces.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from traces.trace import Trace

#: A row for each run, layer and step: where it is on the plane of the first run's two principal
#: components, their shares of its variance, and how far it is from the first run at that step.
COLUMNS = (
    "subject", "evidence", "tensor", "layer", "step", "first", "second", "first_share",
    "second_share", "deviation",
)  # fmt: skip

_LAYERS = 3
_TENSORS = ("kv", "hidden")


def table(traces: Mapping[str, Trace]) -> pd.DataFrame:
    """Keys, or where none were kept hidden states, of the runs that can be compared with the first.

    In `analysis.trajectory`'s numbers. Raises InputError where there are no two of them.
    """
    from analysis.trajectory import trajectories

    kept = next(
        (name for name in _TENSORS if any(name in trace.kept() for trace in traces.values())), "kv"
    )
    alike = comparable(traces, kept)
    if len(alike) < 2:
        raise InputError(f"paths: no two traces of the same pictures kept {kept}")
    tensor = "k" if kept == "kv" else kept
    found = trajectories(alike, tensor)
    layers = found["layer"].to_numpy()
    chosen = layers[np.unique(np.linspace(0, len(layers) - 1, _LAYERS).round().astype(int))]
    found = found.sel(layer=chosen).isel(component=slice(0, 2))
    scores, shares = found["score"], found["explained_variance"]
    parts = {
        "first": scores.isel(component=0, drop=True),
        "second": scores.isel(component=1, drop=True),
        "deviation": found["relative_deviation"],
    }
    rows = pd.DataFrame({name: part.to_series() for name, part in parts.items()}).reset_index()
    by_layer = shares.to_series().to_dict()
    components = list(found["component"].to_numpy())
    rows = rows.assign(
        tensor=tensor,
        first_share=[by_layer[layer, components[0]] for layer in rows["layer"]],
        second_share=[by_layer[layer, components[1]] for layer in rows["layer"]],
    )
    labels = rows.pop("trace")
    return panels.described(rows, "", "measured").assign(subject=labels)[list(COLUMNS)]


def draw(table: pd.DataFrame) -> Figure:
    """Above the paths, which start at the dot, layer by layer; below how far each is off.

    Raises InputError for a table of something else.
    """
    panels.check(table, COLUMNS, "paths")
    layers = list(table.groupby("layer"))
    names = table["subject"].unique().tolist()
    colours = style.colours(names)
    with style.look():
        fig = style.figure(4.6)
        grid = fig.subplots(2, len(layers), squeeze=False, height_ratios=(1.5, 1), sharey="row")
        for (above, below), (layer, rows) in zip(grid.T, layers, strict=True):
            for place, name in enumerate(names):
                path = rows[rows["subject"] == name].sort_values("step")
                _path(above, path, colours[name], place)
                if place:
                    below.plot(
                        path["step"], path["deviation"], color=colours[name],
                        linestyle=panels.line_style(place),
                    )  # fmt: skip
            shares = [f"{rows[name].iloc[0]:.0%}" for name in ("first_share", "second_share")]
            panels.head(above, f"layer {layer}: {' + '.join(shares)}", "measured")
            above.set_xlabel("component 1")
            panels.head(below, "", "measured")
            below.set_xlabel("step")
            below.xaxis.set_major_locator(MaxNLocator(5, integer=True))
        grid[0][0].set_ylabel("component 2")
        grid[1][0].set_ylabel(f"distance from {names[0]}\n/ activation")
        grid[1][0].yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        grid[1][0].set_ylim(bottom=0)
        fig.suptitle(
            f"{table['tensor'].iloc[0]}, in units of the activation, on the plane of {names[0]}",
            x=0.01, ha="left", fontsize=8.5,
        )  # fmt: skip
        handles, labels = grid[0][0].get_legend_handles_labels()
        fig.legend(handles, labels, loc="outside lower center", ncols=min(5, len(names)))
    return fig


def _path(ax: Axes, path: pd.DataFrame, colour: str, place: int) -> None:
    ax.plot(
        path["first"], path["second"], color=colour, linestyle=panels.line_style(place),
        linewidth=2.4 if place == 0 else 1.1, alpha=0.55 if place == 0 else 1.0,
        label=str(path["subject"].iloc[0]),
    )  # fmt: skip
    known = path.dropna(subset=["first", "second"])
    if known.empty:
        return
    begin, end = known.iloc[0], known.iloc[-1]
    ax.plot(begin["first"], begin["second"], marker="o", markersize=4, color=colour)
    ax.plot(
        end["first"], end["second"], marker="*", markersize=7, color=colour,
        markeredgecolor="white", markeredgewidth=0.5, zorder=4,
    )  # fmt: skip
