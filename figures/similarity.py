"""How alike each step's activations are to every other step's, layer by layer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.colors import Normalize

from figures import heatmap, panels, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from traces.trace import Trace

#: A row for each layer and pair of steps. `cosine` is of the two, `relative_l2` their distance over
#: the norm at `step`: what is wrong where the other step's is used instead.
COLUMNS = (
    "subject", "evidence", "tensor", "layer", "step", "other_step", "cosine", "relative_l2",
)  # fmt: skip

_LAYERS = 4  # beside each other
_MEASURES = {"cosine": "cosine", "relative_l2": "relative L2 distance"}


def table(trace: Trace, tensor: str) -> pd.DataFrame:
    """Of a few layers from the first to the last, in `analysis.redundancy`'s numbers.

    Raises InputError where the tensor was not kept in two steps.
    """
    from analysis.redundancy import redundancy

    found = redundancy(trace, tensor)
    layers = found["layer"].to_numpy()
    chosen = layers[np.unique(np.linspace(0, len(layers) - 1, _LAYERS).round().astype(int))]
    rows = found[list(_MEASURES)].sel(layer=chosen).to_dataframe().reset_index()
    evidence = found.attrs["evidence"]
    return rows.assign(subject=panels.about(trace), evidence=evidence, tensor=tensor)[list(COLUMNS)]


def draw(table: pd.DataFrame) -> Figure:
    """Above cosines, below distances, for cosines alone mislead; layers from left to right.

    Raises InputError for a table of something else.
    """
    panels.check(table, COLUMNS, "similarity")
    layers = list(table.groupby("layer"))
    with style.look():
        fig = style.figure(1.2 + 2 * 1.55)
        grid = fig.subplots(2, len(layers), squeeze=False, sharex=True, sharey=True)
        missing = False
        for axes, (measure, text) in zip(grid, _MEASURES.items(), strict=True):
            grids = [rows.pivot_table(measure, "step", "other_step", dropna=False)
                     for _, rows in layers]  # fmt: skip
            arrays = [one.to_numpy(float) for one in grids]
            missing |= heatmap.gaps_in(*arrays)
            norm = _scale(measure, arrays)
            cmap = style.SEQUENTIAL if measure == "cosine" else f"{style.SEQUENTIAL}_r"
            for ax, one, array in zip(axes, grids, arrays, strict=True):
                image = heatmap.heatmap(ax, array, norm, cmap)
                heatmap.ticks(ax, list(one.index), list(one.columns), most=4)
                ax.set_aspect("equal")
            heatmap.colour_bar(fig, image, list(axes), text)
        evidence, _, within = str(table["evidence"].iloc[0]).partition(", ")
        _label(grid, [layer for layer, _ in layers], evidence)
        fig.suptitle(
            f"{table['tensor'].iloc[0]} of {table['subject'].iloc[0]}"
            + f"; {evidence}, {within}" * bool(within),
            x=0.01, ha="left", fontsize=8.5,
        )  # fmt: skip
        if missing:
            fig.legend(handles=[panels.gap_key()], loc="outside lower center")
    return fig


def _scale(measure: str, arrays: list[np.typing.NDArray[np.float64]]) -> Normalize:
    """Cosines end at 1, distances begin at 0, whatever occurs."""
    norm = heatmap.limits(*arrays, least=0.02)
    return Normalize(norm.vmin, 1.0) if measure == "cosine" else Normalize(0.0, norm.vmax)


def _label(grid: np.typing.NDArray[np.object_], layers: list[object], evidence: str) -> None:
    for ax, layer in zip(grid[0], layers, strict=True):
        panels.head(ax, "outside the layers" if layer == -1 else f"layer {layer}", evidence)
    for ax in grid[1]:
        ax.set_xlabel("other step")
    for row in grid:
        row[0].set_ylabel("step")
