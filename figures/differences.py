"""Pictures of several runs from the same noise, and how each differs from the first run's."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from matplotlib.colors import Normalize
from matplotlib.patches import Rectangle

from figures import heatmap, panels, style
from figures.comparable import comparable
from traces.errors import InputError

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from numpy.typing import NDArray

    from traces.trace import Trace

#: A row for each pixel: brightness from 0 to 255, and by how much it exceeds the first run's.
COLUMNS = ("subject", "evidence", "image", "down", "across", "brightness", "difference")

_IMAGES = 5  # more do not fit beside each other with their differences
_GAP_PX = 2
_TILE_IN = 0.52
_BESIDE_IN = 2.4  # labels and the colours' scale
_LEAST = 8.0  # levels: a smaller scale would show rounding as if it mattered


def table(traces: Mapping[str, Trace]) -> pd.DataFrame:
    """The pictures that runs of one model ended with, which keep `latent`.

    Of those that can be compared with the first. A picture with a number that is not finite is
    NaN. Raises InputError where none kept it, and for a model that draws no pixels.
    """
    alike = {label: _pictures(trace) for label, trace in comparable(traces, "latent").items()}
    shared = sorted(set.intersection(*(set(pictures) for pictures in alike.values())))[:_IMAGES]
    if not shared:
        raise InputError("pictures: the runs have no image in common")
    base = next(iter(alike.values()))
    rows = [
        _pixels(label, number, pictures[number], base[number])
        for label, pictures in alike.items()
        for number in shared
    ]
    return pd.concat(rows, ignore_index=True)


def _pictures(trace: Trace) -> dict[int, NDArray[np.float64]]:
    """Images by their numbers, (H, W)."""
    import torch

    from simnet.job import Job
    from simnet.models.pixels import images_of
    from simnet.schedules.named import schedule
    from simnet.training.fashion import SIDE_PX

    run = trace.run
    job = Job(run.model, run.ranks, run.steps, seed=run.seed, device="meta", images=run.images)
    if not job.preset.trained:
        raise InputError(f"pictures: {run.model} has random weights and draws none")
    kept = trace.activations("latent").sel(layer=-1)
    if run.steps - 1 not in kept["step"]:
        raise InputError("pictures: the latent of the last step was not kept")
    parts = [torch.tensor(part) for part in kept.sel(step=run.steps - 1).to_numpy()]
    chosen = schedule(run.schedule)
    latents = chosen.gathered(parts)
    made = images_of(latents.nan_to_num(), job.preset, (SIDE_PX, SIDE_PX)).numpy().astype(float)
    made[~latents.isfinite().flatten(1).all(dim=1).numpy()] = np.nan
    return dict(zip(chosen.numbers(job), made, strict=True))


def _pixels(
    label: str, number: int, picture: NDArray[np.float64], base: NDArray[np.float64]
) -> pd.DataFrame:
    down, across = (index.ravel() for index in np.indices(picture.shape))
    rows = pd.DataFrame(
        {
            "image": number,
            "down": down,
            "across": across,
            "brightness": picture.ravel(),
            "difference": (picture - base).ravel(),
        }
    )
    return panels.described(rows, label, "measured")


def draw(table: pd.DataFrame) -> Figure:
    """A row for each run: its pictures, dark on white, and right of them their differences.

    Raises InputError for a table of something else.
    """
    panels.check(table, COLUMNS, "pictures")
    labels, images = table["subject"].unique().tolist(), table["image"].unique().tolist()
    pictures = _sheet(table, "brightness", labels, images)
    differences = _sheet(table, "difference", labels, images)
    numbers = table["difference"].abs()
    reach = max(_LEAST, float(numbers.quantile(0.995)) if numbers.notna().any() else 0.0)
    with style.look():
        wide_in = 2 * _TILE_IN * len(images) + _BESIDE_IN
        fig = style.figure(0.75 + _TILE_IN * len(labels), min(wide_in, style.WIDTH_IN))
        left, right = fig.subplots(1, 2)
        heatmap.heatmap(left, pictures, Normalize(0, 255), "gray_r")
        image = heatmap.heatmap(right, differences, Normalize(-reach, reach), style.DIVERGING)
        for ax in (left, right):
            ax.set_aspect("equal")
            ax.patch.set_visible(False)
            _frame(ax, pictures.shape, labels, images)
            broken = _broken(ax, table, labels, images)
        right.set_yticks([])
        left.set_title("measured pictures")
        right.set_title(f"less those of {labels[0]}")
        heatmap.colour_bar(fig, image, [right], "levels of 255")
        if broken:
            fig.legend(handles=[panels.gap_key()], loc="outside lower center")
    return fig


def _sheet(
    table: pd.DataFrame, value: str, labels: Sequence[str], images: Sequence[int]
) -> NDArray[np.float64]:
    """All of one kind beside each other, with gaps between."""
    height, width = (int(table[name].max()) + 1 + _GAP_PX for name in ("down", "across"))
    sheet = np.full((len(labels) * height, len(images) * width), np.nan)
    for (label, number), pixels in table.groupby(["subject", "image"]):
        top = labels.index(str(label)) * height + _GAP_PX // 2
        left = images.index(number) * width + _GAP_PX // 2
        sheet[top + pixels["down"], left + pixels["across"]] = pixels[value]
    return sheet


def _broken(ax: Axes, table: pd.DataFrame, labels: Sequence[str], images: Sequence[int]) -> bool:
    """Hatch pictures that hold a number which is not finite; says whether there are any."""
    height, width = (int(table[name].max()) + 1 + _GAP_PX for name in ("down", "across"))
    lost = table[table["brightness"].isna()].drop_duplicates(["subject", "image"])
    for label, number in zip(lost["subject"], lost["image"], strict=True):
        corner = images.index(number) * width + 0.5, labels.index(label) * height + 0.5
        ax.add_patch(
            Rectangle(corner, width - _GAP_PX, height - _GAP_PX, **panels.GAP, linewidth=0)
        )
    return len(lost) > 0


def _frame(ax: Axes, shape: tuple[int, ...], labels: Sequence[str], images: Sequence[int]) -> None:
    down, across = shape
    rows = [down / len(labels) * (place + 0.5) - 0.5 for place in range(len(labels))]
    columns = [across / len(images) * (place + 0.5) - 0.5 for place in range(len(images))]
    ax.set_yticks(rows, list(labels))
    ax.set_xticks(columns, [str(number) for number in images])
    ax.set_xlabel("image")
    ax.tick_params(length=0)
