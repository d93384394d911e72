"""Figures are written whole, and the same figure gives the same bytes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from matplotlib.figure import Figure

from figures import style
from traces.errors import InputError, RunError


def bars() -> Figure:
    """A figure with what tends to differ from run to run: hatches and clip paths."""
    with style.look():
        fig = style.figure(1.0, width_in=2.0)
        ax = fig.subplots()
        ax.bar([0, 1], [1, 2], color=style.ACTIVITIES["compute"], hatch="//")
        ax.set_title("µs")
    return fig


@pytest.mark.parametrize("suffix", [".png", ".svg", ".pdf", ".PNG"])
def test_the_same_figure_is_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    """No date, version or random identifier gets into a file."""
    first, second = tmp_path / f"first{suffix}", tmp_path / f"second{suffix}"
    style.save(bars(), first)
    style.save(bars(), second)

    assert first.read_bytes() == second.read_bytes()
    assert sorted(tmp_path.iterdir()) == [first, second]


def test_an_unknown_suffix_is_refused_with_those_there_are(tmp_path: Path) -> None:
    """The format is the suffix, so the message says which."""
    with pytest.raises(InputError, match=r"fig\.jpg.*\.png, \.svg, \.pdf"):
        style.save(bars(), tmp_path / "fig.jpg")


def test_a_missing_folder_is_refused(tmp_path: Path) -> None:
    """No folder is made by surprise."""
    with pytest.raises(InputError, match=r"figures' does not exist"):
        style.save(bars(), tmp_path / "figures" / "fig.png")


def test_what_is_no_file_is_not_replaced(tmp_path: Path) -> None:
    """A pipe stands for the devices; it stays one."""
    pipe = tmp_path / "fig.png"
    os.mkfifo(pipe)

    with pytest.raises(InputError, match=r"fig\.png: is there and no ordinary file"):
        style.save(bars(), pipe)

    assert pipe.is_fifo()
    assert list(tmp_path.iterdir()) == [pipe]


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    """Here its name is too long."""
    with pytest.raises(RunError, match="cannot be written: File name too long"):
        style.save(bars(), tmp_path / f"{'x' * 250}.png")


def test_a_failed_drawing_leaves_the_old_file_alone(tmp_path: Path) -> None:
    """A figure is put in place only when it is complete."""
    path = tmp_path / "fig.png"
    path.write_text("old")
    broken = bars()
    broken.axes[0].set_title("$unfinished^{math$")

    with pytest.raises(ValueError, match="unfinished"):
        style.save(broken, path)

    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_names_keep_their_colours_in_order_of_appearance() -> None:
    """A name that comes again has the colour it had; different names differ."""
    colours = style.colours(["ring", "ulysses", "ring"])

    assert list(colours) == ["ring", "ulysses"]
    assert len(set(colours.values())) == 2
