"""A grid of numbers as colours, where a gap is hatched and not taken for a zero."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from matplotlib.colors import Colormap, Normalize

from figures import panels, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage
    from numpy.typing import NDArray

_TICKS = 5


def heatmap(
    ax: Axes, values: NDArray[np.float64], norm: Normalize, cmap: str | Colormap = style.SEQUENTIAL
) -> AxesImage:
    """Rows down, columns across; NaN leaves the hatched ground open."""
    panels.gap_behind(ax)
    shown = np.ma.masked_invalid(values)
    image = ax.imshow(shown, cmap=cmap, norm=norm, aspect="auto", interpolation="nearest")
    ax.tick_params(length=2)
    ax.spines[:].set_visible(False)
    return image


def ticks(ax: Axes, rows: Sequence[Any], columns: Sequence[Any], most: int = _TICKS) -> None:
    """The labels of rows and columns, as many as there is room for, the first always among them."""
    ax.set_yticks(*_some(rows, most))
    ax.set_xticks(*_some(columns, most))


def _some(labels: Sequence[Any], most: int) -> tuple[list[int], list[str]]:
    every = _stride(len(labels), most)
    places = list(range(0, len(labels), every))
    return places, [str(labels[place]) for place in places]


def _stride(count: int, most: int) -> int:
    """The least of 1, 2, 5, 10, 20, ... that leaves no more than `most`."""
    scale = 1
    while True:
        for step in (scale, 2 * scale, 5 * scale):
            if -(-count // step) <= most:
                return step
        scale *= 10


def limits(*arrays: NDArray[np.float64], least: float = 0.0) -> Normalize:
    """One scale for all: from the smallest to the largest number, at least `least` apart."""
    numbers = np.concatenate([np.ravel(values) for values in arrays])
    numbers = numbers[np.isfinite(numbers)]
    low, high = (float(numbers.min()), float(numbers.max())) if len(numbers) else (0.0, 1.0)
    spare = max(0.0, least - (high - low)) / 2
    return Normalize(low - spare, high + spare)


def colour_bar(fig: Figure, image: AxesImage, axes: Sequence[Axes], label: str) -> Any:
    """Beside the panels that share it; thin, without an outline."""
    bar = fig.colorbar(image, ax=list(axes), aspect=30, pad=0.015, fraction=0.05)
    bar.set_label(label)
    bar.outline.set_visible(False)
    bar.ax.tick_params(length=2)
    return bar


def gaps_in(*arrays: NDArray[np.float64]) -> bool:
    """Whether any number is missing."""
    return any(bool(np.isnan(values).any()) for values in arrays)
