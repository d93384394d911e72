"""The figure of what codecs lose over the steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from analysis.codec_error import COLUMNS
from figures import codec_error, style
from simnet.cli import OK, call
from traces.errors import InputError


def rows(*codecs: str, steps: int = 4) -> pd.DataFrame:
    """Errors that are predicted 10 % too high, of two ways."""
    return pd.DataFrame(
        [
            (codec, way, step, 0.11 * height * step, 0.1 * height * step, 0.36, 0.14)
            for codec in codecs
            for way, height in (("naive", 2), ("with feedback", 1))
            for step in range(1, steps)
        ],
        columns=list(COLUMNS),
    )


def test_each_codec_has_a_panel_with_its_name_and_error() -> None:
    """Three take two rows, and the fourth place stays empty."""
    fig = codec_error.draw(rows("residual-1bit", "residual-2bit", "residual-sparse"))
    shown = [ax for ax in fig.axes if ax.get_visible()]
    assert [ax.get_title(loc="left") for ax in shown] == [
        f"residual-{name}: NMSE 0.360 in one shot" for name in ("1bit", "2bit", "sparse")
    ]
    assert [bool(ax.get_xlabel()) for ax in shown] == [False, True, True]


def test_predictions_are_lines_and_simulations_points() -> None:
    """Each way in its colour, named beside its last point."""
    (ax,) = codec_error.draw(rows("residual-1bit")).axes
    drawn = {(line.get_linestyle(), tuple(np.asarray(line.get_ydata()))) for line in ax.lines}
    assert ("-", (0.22, 0.44, 0.66)) in {(s, tuple(np.round(y, 6))) for s, y in drawn}
    assert ("None", (0.1, 0.2, 0.3)) in {(s, tuple(np.round(y, 6))) for s, y in drawn}
    assert [text.get_text() for text in ax.texts] == ["with feedback", "naive"]


def test_the_key_says_that_nothing_was_measured_on_a_model() -> None:
    """Points are simulated, and on what."""
    fig = codec_error.draw(rows("residual-1bit"))
    key = [text.get_text() for text in fig.legends[0].get_texts()]
    assert key == [
        "predicted from the one shot",
        "simulated: Gaussian numbers that change by 14% a step",
    ]


def test_a_codec_that_loses_nothing_can_be_drawn(tmp_path: Path) -> None:
    """At the foot of its panel."""
    nothing = rows("residual-raw").assign(predicted=0.0, simulated=0.0)
    style.save(codec_error.draw(nothing), tmp_path / "nothing.png")
    assert (tmp_path / "nothing.png").stat().st_size > 0


def test_a_table_of_something_else_is_refused() -> None:
    """By the column that is missing; and so is one with nothing in it."""
    with pytest.raises(InputError, match="column 'simulated' is missing"):
        codec_error.draw(rows("residual-1bit").drop(columns="simulated"))
    with pytest.raises(InputError, match="there is nothing to draw"):
        codec_error.draw(rows())


def test_the_command_draws_and_keeps_the_table(tmp_path: Path) -> None:
    """The same bytes each time."""
    for name in ("first", "second"):
        out = str(tmp_path / f"{name}.png")
        assert call(["figure", "codec-error", "--steps", "3", "--out", out]) == OK
    kept = pd.read_csv(tmp_path / "first.csv")
    assert list(kept) == list(COLUMNS)
    assert len(kept) == 2 * 3 * 2
    for suffix in (".png", ".csv"):
        first, second = (tmp_path / f"{name}{suffix}" for name in ("first", "second"))
        assert first.read_bytes() == second.read_bytes()
