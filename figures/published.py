"""Redundancy from step to step beside what was published of FLUX.1-dev."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.ticker import PercentFormatter

from figures import panels, style
from traces.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from traces.trace import Trace

#: A row for each run, tensor and step but the first: the cosine of it and the step before, and
#: the residual's norm over the activation's; `progress` is the step's share of the run.
COLUMNS = ("subject", "evidence", "tensor", "step", "progress", "cosine", "residual_ratio")

_TENSORS = ("k", "v", "hidden")
_FLUX = "FLUX.1-dev, keys and values"
_STEPS = 28
# Averages over all keys and values of an uncompressed run, from the step after the first on, that
# the authors of CompactFusion (arXiv 2507.17511) published with their code; 28 steps, the first of
# which is warm-up. Norms are Frobenius norms.
_RESIDUAL_NORMS = (
    1083, 805, 672, 587, 458, 394, 421, 361, 378, 502, 573, 336, 332, 313, 319, 315, 315, 332, 352,
    352, 351, 364, 411, 431, 444, 512, 659,
)  # fmt: skip
_COSINES = (
    np.nan, 0.929, 0.947, 0.956, 0.971, 0.976, 0.974, 0.979, 0.977, 0.964, 0.950, 0.980, 0.980,
    0.982, 0.981, 0.981, 0.981, 0.980, 0.978, 0.978, 0.978, 0.977, 0.972, 0.970, 0.970, 0.963,
    0.944,
)  # fmt: skip
# Of activations only the first and the last are known here; they fall slowly in between.
_ACTIVATION_NORMS = (2344.0, 2149.0)


def table(traces: Mapping[str, Trace]) -> pd.DataFrame:
    """Of the keys, values and hidden states that runs kept, all layers together.

    Raises InputError where none kept any.
    """
    from analysis.redundancy import redundancy
    from analysis.tensors import names

    parts = [_published()]
    for label, trace in traces.items():
        for tensor in [name for name in _TENSORS if name in names(trace)]:
            found = redundancy(trace, tensor)
            parts.append(_rows(found, trace.run.steps, f"{label}, {tensor}", tensor))
    if len(parts) == 1:
        raise InputError("no activations were kept: record with --keep kv,hidden")
    return pd.concat(parts, ignore_index=True)[list(COLUMNS)]


def _rows(found: Any, steps: int, subject: str, tensor: str) -> pd.DataFrame:
    """Ratios of norms over all layers, cosines averaged over them."""
    squares = {
        name: (found[f"{name}_norm"] ** 2).sum("layer", skipna=False)
        for name in ("residual", "activation")
    }
    cosines = found["cosine"].mean("layer", skipna=False).to_numpy().diagonal(-1)
    ratios = np.sqrt(squares["residual"] / squares["activation"]).to_numpy()[1:]
    step = np.arange(1, steps)
    rows = pd.DataFrame(
        {
            "tensor": tensor,
            "step": step,
            "progress": step / max(1, steps - 1),
            "cosine": cosines,
            "residual_ratio": ratios,
        }
    )
    return panels.described(rows, subject, "measured")


def _published() -> pd.DataFrame:
    step = np.arange(1, _STEPS)
    rows = pd.DataFrame(
        {
            "tensor": "kv",
            "step": step,
            "progress": step / (_STEPS - 1),
            "cosine": _COSINES,
            "residual_ratio": np.array(_RESIDUAL_NORMS)
            / np.linspace(*_ACTIVATION_NORMS, len(_RESIDUAL_NORMS)),
        }
    )
    return panels.described(rows, _FLUX, "published")


def draw(table: pd.DataFrame) -> Figure:
    """Cosines left and ratios right, over the share of the run; what was published is diamonds.

    Raises InputError for a table of something else.
    """
    panels.check(table, COLUMNS, "published redundancy")
    names = table["subject"].unique().tolist()
    measured = [name for name in names if name != _FLUX]
    colours = style.colours(measured)
    with style.look():
        fig = style.figure(2.6 + 0.16 * (-(-len(names) // 4)))
        axes = fig.subplots(1, 2)
        for ax, column, label in zip(
            axes,
            ("cosine", "residual_ratio"),
            ("cosine with the step before", "residual / activation"),
            strict=True,
        ):
            for name, rows in table.groupby("subject", sort=False):
                place = measured.index(str(name)) if name in measured else 0
                _line(ax, rows, column, colours.get(str(name), "black"), place)
            ax.set_xlabel("share of the run")
            ax.xaxis.set_major_formatter(PercentFormatter(1.0))
            ax.set_ylabel(label)
            panels.head(ax, "", " and ".join(dict.fromkeys(table["evidence"])))
        axes[1].set_ylim(bottom=0)
        fig.legend(
            *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4,
        )  # fmt: skip
    return fig


def _line(ax: Axes, rows: pd.DataFrame, column: str, colour: str, place: int) -> None:
    evidence = str(rows["evidence"].iloc[0])
    looks: dict[str, Any] = {"color": colour, "linestyle": panels.line_style(place)}
    if evidence == "published":
        looks |= {"linestyle": "", "marker": style.MARKS[evidence].marker, "markersize": 3.5}
    label = str(rows["subject"].iloc[0])
    if evidence == "published":
        label += " (published)"
    ax.plot(rows["progress"], rows[column], label=label, **looks)
