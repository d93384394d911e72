"""One look for all figures, and one way to write them: the same figure is the same bytes."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl
import seaborn as sns
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from traces.errors import InputError
from traces.files import replaceable, replacing

WIDTH_IN = 7.0  # a page's text between its margins
COLUMN_IN = 3.4  # one of two columns
DPI = 200
SMALL_PT = 7.0
GREY = "#6b6b6b"
#: Colour maps that keep their order in grey and for the colour-blind: from little to much, and
#: from less to more than what is in the middle.
SEQUENTIAL = "cividis"
DIVERGING = "PuOr"

# Seaborn's "colorblind" palette: distinct for the common forms of colour blindness.
_PALETTE: list[str] = sns.color_palette("colorblind").as_hex()

#: What a rank or its network is busy with.
ACTIVITIES: dict[str, str] = {
    "compute": _PALETTE[0],
    "exposed": _PALETTE[3],
    "hidden": _PALETTE[2],
    "host": "#c8c8c8",
}


@dataclass(frozen=True, slots=True)
class Mark:
    """How a figure shows what a number is worth: by shape and filling, never by colour."""

    marker: str
    filled: bool
    hatch: str


MARKS: dict[str, Mark] = {
    "measured": Mark("o", filled=True, hatch=""),
    "measured compute": Mark("s", filled=False, hatch="////"),
    "predicted": Mark("o", filled=False, hatch="////"),
    "published": Mark("D", filled=True, hatch=""),
}

_RC: Any = {
    **sns.axes_style("ticks"),
    **sns.plotting_context("paper"),
    "font.family": "DejaVu Sans",  # comes with matplotlib, so text has the same width everywhere
    "font.size": 8.5,
    "axes.labelsize": 8.5,
    "axes.titlesize": 8.5,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.8,
    "axes.grid": False,
    "xtick.labelsize": 7.5,
    "ytick.labelsize": 7.5,
    "xtick.major.size": 3,
    "ytick.major.size": 3,
    "legend.fontsize": 7.5,
    "legend.frameon": False,
    "lines.linewidth": 1.6,
    "hatch.linewidth": 0.5,
    "svg.hashsalt": "thinwire",
    "savefig.dpi": DPI,
}

# Dates would make two runs' files differ.
_METADATA: dict[str, dict[str, None]] = {
    ".png": {"Software": None},
    ".svg": {"Date": None},
    ".pdf": {"CreationDate": None},
}


@contextmanager
def look() -> Iterator[None]:
    """Draw inside this, and save through `save`."""
    with mpl.rc_context(_RC):
        yield


def figure(height_in: float, width_in: float = WIDTH_IN) -> Figure:
    """An empty figure that keeps labels from being cut off; no pyplot, so nothing to close."""
    return Figure(figsize=(width_in, height_in), dpi=DPI, layout="constrained")


def colours(names: Sequence[str]) -> dict[str, str]:
    """A colour for each different name, in order of appearance; more than ten repeat."""
    return {
        name: _PALETTE[place % len(_PALETTE)] for place, name in enumerate(dict.fromkeys(names))
    }


def shades(count: int) -> list[str]:
    """So many colours of one scale, in order, from light to dark; none as light as paper."""
    scale = mpl.colormaps[SEQUENTIAL]
    return [to_hex(scale(0.85 - 0.8 * place / max(1, count - 1))) for place in range(count)]


def save(fig: Figure, path: str | os.PathLike[str]) -> None:
    """Write the figure as its suffix says, whole or not at all.

    Raises InputError for a suffix other than .png, .svg or .pdf, for a folder that is not there,
    and where something else than a file has the name; RunError for a disk that is full.
    """
    path = Path(path)
    check(path)
    suffix = path.suffix.lower()
    with replacing(path) as temporary, look():
        fig.savefig(temporary, format=suffix[1:], metadata=_METADATA[suffix])


def check(path: Path) -> None:
    """Raises InputError where `save` would: before the work for a figure, rather than after."""
    if path.suffix.lower() not in _METADATA:
        raise InputError(
            f"figure {str(path)!r}: the name must end in {', '.join(_METADATA)} to say its format"
        )
    replaceable(path)
