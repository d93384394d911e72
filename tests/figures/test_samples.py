"""The grid of samples: a class in each column, a row for each that made them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from figures import samples, style
from traces.errors import InputError

CLASSES = ("coat", "bag", "boot")


def grey(*levels: int) -> NDArray[np.uint8]:
    """A picture of one level of grey for each class."""
    return np.stack([np.full((28, 28), level, np.uint8) for level in levels])


def test_every_pixel_is_in_the_table() -> None:
    """With its place, in the order of rows, classes and pixels."""
    table = samples.table({"single": grey(1, 2, 3), "dice": grey(4, 5, 6)}, CLASSES)
    assert tuple(table) == samples.COLUMNS
    assert len(table) == 2 * 3 * 28 * 28
    levels = table.groupby(["label", "class"], sort=False)["brightness"].unique()
    assert {place: level.tolist() for place, level in levels.items()} == {
        ("single", "coat"): [1], ("single", "bag"): [2], ("single", "boot"): [3],
        ("dice", "coat"): [4], ("dice", "bag"): [5], ("dice", "boot"): [6],
    }  # fmt: skip


def test_samples_stand_where_their_names_say() -> None:
    """Under each class's name and beside each row's, every picture is the one of the table."""
    made = {"single": grey(10, 20, 30), "dice": grey(40, 50, 60)}
    (ax,) = samples.draw(samples.table(made, CLASSES)).axes
    assert [tick.get_text() for tick in ax.get_xticklabels()] == list(CLASSES)
    assert [tick.get_text() for tick in ax.get_yticklabels()] == list(made)
    sheet = np.asarray(ax.images[0].get_array())
    for label, down in zip(made, ax.get_yticks(), strict=True):
        for picture, across in zip(made[label], ax.get_xticks(), strict=True):
            top, left = int(down + 0.5) - 14, int(across + 0.5) - 14
            assert (sheet[top : top + 28, left : left + 28] == picture).all()


@pytest.mark.parametrize("labels", [("a",), ("a", "b with a very long name, 50 steps", "c")])
def test_pixels_are_square_and_labels_inside(labels: tuple[str, ...]) -> None:
    """However many rows there are, and however long their names."""
    fig = samples.draw(samples.table({label: grey(0, 0, 0) for label in labels}, CLASSES))
    fig.draw_without_rendering()
    (ax,) = fig.axes
    box, (rows, columns) = ax.get_window_extent(), np.asarray(ax.images[0].get_array()).shape
    assert box.width / columns == pytest.approx(box.height / rows, rel=0.02)
    assert min(text.get_window_extent().x0 for text in ax.get_yticklabels()) >= 0


def test_the_same_samples_are_the_same_bytes(tmp_path: Path) -> None:
    """As of every figure."""
    for name in ("first.png", "second.png"):
        style.save(samples.draw(samples.table({"a": grey(1, 2, 3)}, CLASSES)), tmp_path / name)
    first, second = (tmp_path / name for name in ("first.png", "second.png"))
    assert first.read_bytes() == second.read_bytes()


def test_what_makes_no_grid_is_refused() -> None:
    """Nothing, pictures that are no bytes, too few of them, a table of something else."""
    with pytest.raises(InputError, match="there is nothing to draw"):
        samples.table({}, CLASSES)
    for wrong in (grey(1, 2), grey(1, 2, 3).astype(float), grey(1, 2, 3)[0]):
        with pytest.raises(InputError, match=r"samples of 'a' are .*expected \(3, H, W\) of uint8"):
            samples.table({"a": wrong}, CLASSES)
    table = samples.table({"a": grey(1, 2, 3)}, CLASSES)
    with pytest.raises(InputError, match="column 'down' is missing"):
        samples.draw(table.drop(columns="down"))
    with pytest.raises(InputError, match="there is nothing to draw"):
        samples.draw(table[:0])
