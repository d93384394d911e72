"""Samples side by side: a class in each column, and in each row what made them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from figures import style
from traces.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

#: A row for each pixel: whose sample, of which class, where in it, and how bright from 0 to 255.
COLUMNS = ("label", "class", "down", "across", "brightness")

_TILE_IN = 0.5  # of a row, before it is known how much room the labels leave
_GAP_PX = 2  # between samples, in pixels of a sample


def table(samples: Mapping[str, Any], classes: Sequence[str]) -> pd.DataFrame:
    """All pixels, as COLUMNS, of samples (classes, H, W) of bytes by what made them.

    Raises InputError for none, and for arrays of another shape or type.
    """
    if not samples:
        raise InputError("samples: there is nothing to draw")
    return pd.concat([_pixels(*item, classes) for item in samples.items()], ignore_index=True)


def _pixels(label: str, images: Any, classes: Sequence[str]) -> pd.DataFrame:
    values = np.asarray(images)
    if values.ndim != 3 or len(values) != len(classes) or values.dtype != np.uint8:
        raise InputError(
            f"samples of {label!r} are {values.shape} of {values.dtype}, expected "
            f"({len(classes)}, H, W) of uint8"
        )
    place, down, across = (index.ravel() for index in np.indices(values.shape))
    named = np.asarray(classes)[place]
    return pd.DataFrame(
        {
            "label": label,
            "class": named,
            "down": down,
            "across": across,
            "brightness": values.ravel(),
        }
    )


def draw(table: pd.DataFrame) -> Figure:
    """One row of pictures for each label, with the classes' names above the columns.

    Dark on white: Fashion-MNIST's pictures are a shop's photographs in negative. Raises
    InputError for a missing column and an empty table.
    """
    for name in COLUMNS:
        if name not in table:
            raise InputError(f"samples: column {name!r} is missing")
    if table.empty:
        raise InputError("samples: there is nothing to draw")
    labels = table["label"].unique().tolist()
    classes = table["class"].unique().tolist()
    height, width = (int(table[name].max()) + 1 for name in ("down", "across"))
    sheet = np.zeros((len(labels) * (height + _GAP_PX), len(classes) * (width + _GAP_PX)), np.uint8)
    for (label, kind), pixels in table.groupby(["label", "class"]):
        top = labels.index(label) * (height + _GAP_PX) + _GAP_PX // 2
        left = classes.index(kind) * (width + _GAP_PX) + _GAP_PX // 2
        sheet[top + pixels["down"], left + pixels["across"]] = pixels["brightness"]
    with style.look():
        fig = style.figure(0.3 + _TILE_IN * len(labels))
        ax = fig.subplots()
        ax.imshow(sheet, cmap="gray_r", vmin=0, vmax=255, interpolation="nearest", aspect="auto")
        _name(ax, sheet, labels, classes)
        _square(fig, ax, sheet.shape)
    return fig


def _name(ax: Axes, sheet: NDArray[np.uint8], labels: list[str], classes: list[str]) -> None:
    """Names in the middle of their rows and columns, without the axes' lines."""
    down, across = sheet.shape
    # Two words one above the other: as wide as a picture is about what one word takes.
    ax.set_xticks(_middles(across, len(classes)), [name.replace(" ", "\n") for name in classes])
    ax.set_yticks(_middles(down, len(labels)), labels)
    ax.xaxis.tick_top()
    ax.tick_params(length=0)
    ax.tick_params(axis="x", labelsize="x-small")
    ax.spines[:].set_visible(False)


def _square(fig: Figure, ax: Axes, pixels: tuple[int, ...]) -> None:
    """As high as makes pixels square, in the width that the labels leave."""
    fig.draw_without_rendering()
    width_in, height_in = fig.get_size_inches()
    place = ax.get_position()
    margin_in = (1 - place.height) * height_in
    fig.set_size_inches(width_in, margin_in + place.width * width_in * pixels[0] / pixels[1])


def _middles(pixels: int, parts: int) -> list[float]:
    size = pixels / parts
    return [size * (place + 0.5) - 0.5 for place in range(parts)]
