"""What figures of several panels share: how they are laid out, and that each says what it is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
from matplotlib.patches import Patch

from figures import style
from traces.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from traces.trace import Trace

#: Where nothing is known: never a number, so never a colour of the scale either.
GAP: dict[str, Any] = {"facecolor": "#ececec", "edgecolor": "#b0b0b0", "hatch": "////"}
_LINES = ("-", "--", ":", "-.")


def about(trace: Trace) -> str:
    """What a figure's title says of the run that it is of."""
    run = trace.run
    codec = "" if run.codec == "raw" or "/" in run.schedule else f"/{run.codec}"
    return f"{run.model}, {shortened(run.schedule + codec, 40)}, {run.steps} steps"


def shortened(name: str, most: int) -> str:
    """A schedule's name of no more letters than that, if without its parameters."""
    return name if len(name) <= most else name.partition(":")[0] + ":…"


def described(rows: pd.DataFrame, subject: str, evidence: str) -> pd.DataFrame:
    """The rows with what they are of, and what that is worth, before their own columns."""
    if evidence not in style.MARKS:
        raise InputError(f"unknown evidence {evidence!r}: there are {', '.join(style.MARKS)}")
    return pd.concat(
        [pd.DataFrame({"subject": subject, "evidence": evidence}, index=rows.index), rows], axis=1
    )


def check(table: pd.DataFrame, columns: Sequence[str], what: str) -> None:
    """Raises InputError for a missing column, for an empty table, and one without any number."""
    for name in columns:
        if name not in table:
            raise InputError(f"{what}: column {name!r} is missing; expected {', '.join(columns)}")
    if table.empty:
        raise InputError(f"{what}: there is nothing to draw")


def grid(fig: Figure, panels: int, across: int, *, share: bool = True, **more: Any) -> list[Axes]:
    """So many axes in rows; places left over in the last row stay empty."""
    across = max(1, min(across, panels))
    axes = fig.subplots(
        -(-panels // across), across, squeeze=False, sharex=share, sharey=share, **more
    )
    for ax in axes.flat[panels:]:
        ax.set_visible(False)
    for ax in axes.flat[max(0, panels - across) : panels]:  # nothing may be below them
        ax.tick_params(labelbottom=True)
    return list(axes.flat[:panels])


def down(panels: int, across: int) -> int:
    """How many rows such a grid has."""
    return -(-panels // max(1, min(across, panels)))


def head(ax: Axes, title: str, evidence: str) -> None:
    """The panel's title, and what its numbers are worth beside it."""
    ax.set_title(title)
    ax.set_title(evidence, loc="right", color=style.GREY, fontsize=style.SMALL_PT)


def headline(fig: Figure, table: pd.DataFrame) -> None:
    """Of what the figure is, where that holds for all panels."""
    fig.suptitle("; ".join(dict.fromkeys(table["subject"])), x=0.01, ha="left", fontsize=8.5)


def outer_labels(axes: Sequence[Axes], across: int, x: str, y: str) -> None:
    """Names of the axes, where no neighbour has the same."""
    across = max(1, min(across, len(axes)))
    for place, ax in enumerate(axes):
        if place + across >= len(axes):
            ax.set_xlabel(x)
        if place % across == 0:
            ax.set_ylabel(y)


def line_style(place: int) -> Any:
    """Of the n-th line: told apart without colour as well."""
    return _LINES[place % len(_LINES)]


def gap_behind(ax: Axes) -> None:
    """Whatever the axes' cells leave open is seen to be a gap."""
    ax.patch.set(**GAP, linewidth=0)


def gap_key() -> Patch:
    """For a legend."""
    return Patch(**GAP, linewidth=0, label="no data")


def shade_gaps(ax: Axes, values: pd.Series[float]) -> bool:
    """Hatch the places along x, the index, where no value is a number; says if there are any."""
    known = values.notna().groupby(values.index).any()
    x = known.index.to_numpy(float)
    half = np.min(np.diff(x)) / 2 if len(x) > 1 else 0.5
    for place in x[~known.to_numpy()]:
        ax.axvspan(place - half, place + half, **GAP, linewidth=0, zorder=0)
    return not known.all()
