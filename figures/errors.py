"""How far receivers are off: a codec by itself, on residuals, and with its errors fed back.

The panels of CompactFusion's figure on errors (arXiv 2507.17511), on captured activations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator, PercentFormatter

from figures import panels, style
from figures.replayed import replayed

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from traces.trace import Trace

#: A row for each codec, way and step: the receiver's error over the activation, root mean square
#: of all layers together and the least and most of any, and what the closed form says.
COLUMNS = (
    "subject", "evidence", "tensor", "codec", "way", "step", "error", "least", "most", "predicted",
)  # fmt: skip

CODECS = ("1bit", "2bit", "lowrank:rank=16")
#: Ways of `analysis.codec_replay`, worst first as the paper shows them.
_WAYS = {
    "naive": "naive: the activation",
    "without feedback": "residuals",
    "with feedback": "residuals + feedback",
}


def table(trace: Trace, tensor: str) -> pd.DataFrame:
    """A few codecs, replayed over what was kept. Raises InputError for an unknown tensor."""
    found = replayed(trace, tensor).sel(way=list(_WAYS), codec=list(CODECS))
    nmse, predicted = found["nmse"], found["predicted_nmse"]
    squares = {
        "error": nmse.mean("layer", skipna=False),
        "least": nmse.min("layer"),
        "most": nmse.max("layer"),
        "predicted": predicted.mean("layer", skipna=False),
    }
    roots = {name: part.to_series() ** 0.5 for name, part in squares.items()}
    rows = pd.DataFrame(roots).reset_index()
    rows = rows[rows["step"] > 0].assign(tensor=tensor)  # the first is sent raw
    return panels.described(rows, panels.about(trace), "measured")[list(COLUMNS)]


def draw(table: pd.DataFrame) -> Figure:
    """A panel for each way, a line for each codec, and thin ones for what is predicted.

    Raises InputError for a table of something else.
    """
    panels.check(table, COLUMNS, "errors")
    shown = list(table.groupby("way", sort=False))
    colours = style.colours(table["codec"].tolist())
    gaps = False
    with style.look():
        fig = style.figure(2.75)
        axes = panels.grid(fig, len(shown), 3)
        for ax, (way, rows) in zip(axes, shown, strict=True):
            for place, (codec, line) in enumerate(rows.groupby("codec", sort=False)):
                _line(ax, line, colours[str(codec)], place)
            gaps |= panels.shade_gaps(ax, rows.set_index("step")["error"])
            ax.set_xlabel("step")
            ax.xaxis.set_major_locator(MaxNLocator(5, integer=True))
            panels.head(ax, _WAYS[str(way)], "measured")
        axes[0].set_ylabel("error / activation")
        axes[0].yaxis.set_major_formatter(PercentFormatter(1.0, decimals=0))
        axes[0].set_ylim(0, _top(table))
        panels.headline(fig, table.assign(subject=table["tensor"] + " of " + table["subject"]))
        handles, _ = axes[0].get_legend_handles_labels()
        handles.append(
            Line2D([], [], color=style.GREY, linewidth=0.7, label="predicted from one shot")
        )
        handles += [panels.gap_key()] * gaps
        fig.legend(handles=handles, loc="outside lower center", ncols=5)
    return fig


def _top(table: pd.DataFrame) -> float:
    """Above all that was measured; a prediction may leave the panel."""
    most = table["most"].max()
    return 1.05 * float(most) if np.isfinite(most) and most > 0 else 1.0


def _line(ax: Axes, rows: pd.DataFrame, colour: str, place: int) -> None:
    ax.fill_between(
        rows["step"], rows["least"], rows["most"], color=colour, alpha=0.12, linewidth=0
    )
    ax.plot(
        rows["step"], rows["error"], color=colour, linestyle=panels.line_style(place),
        label=str(rows["codec"].iloc[0]),
    )  # fmt: skip
    ax.plot(rows["step"], rows["predicted"], color=colour, linewidth=0.7)
