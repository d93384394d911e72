"""The figure of a calibration: measurements that make sense can be drawn, others are refused."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from figures import calibration, style
from traces.errors import InputError


def cells(*kinds: str, messages: int = 1) -> pd.DataFrame:
    """Sizes from large to small, measured 10 % above what is predicted."""
    rows = [
        {
            "kind": kind,
            "ranks": "0,1",
            "bytes": nbytes,
            "messages": messages,
            "measured_s": 1.1e-8 * nbytes,
            "low_s": 1.0e-8 * nbytes,
            "high_s": 1.3e-8 * nbytes,
            "predicted_s": 1e-8 * nbytes,
            "predicted_low_s": 0.9e-8 * nbytes,
            "predicted_high_s": 1.1e-8 * nbytes,
        }
        for kind in kinds
        for nbytes in (10**6, 10**4, 10**2)
    ]
    return pd.DataFrame(rows)


def test_sizes_rise_and_streams_of_different_lengths_are_apart() -> None:
    """In the order in which they were measured."""
    both = pd.concat([cells("stream", messages=64), cells("stream", messages=4), cells("ping")])
    table = calibration.table(both)

    assert list(table) == list(calibration.COLUMNS)
    assert table["series"].unique().tolist() == ["stream of 64", "stream of 4", "ping"]
    assert table["bytes"].tolist() == [100, 10_000, 1_000_000] * 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "pong"}, "unknown kind 'pong'"),
        ({"measured_s": 0.0}, "measured_s of ping is 0.0, expected more than 0"),
        ({"predicted_s": math.nan}, "predicted_s of ping is nan"),
    ],
)
def test_cells_that_make_no_sense_are_refused(change: dict[str, Any], message: str) -> None:
    """The message names the column and the kind."""
    with pytest.raises(InputError, match=message):
        calibration.table(cells("ping").assign(**change))


def test_no_cells_and_a_missing_column_are_refused() -> None:
    """There is no figure of nothing."""
    with pytest.raises(InputError, match="no measurements"):
        calibration.table(cells())
    with pytest.raises(InputError, match="column 'high_s' is missing"):
        calibration.table(cells("ping").drop(columns="high_s"))


def test_messages_and_collectives_stand_side_by_side() -> None:
    """Times above, measured over predicted below; every series has its name."""
    fig = calibration.draw(calibration.table(cells("ping", "both", "all_gather")))
    titles = [ax.get_title("left") for ax in fig.axes[:2]]
    names = [text.get_text() for ax in fig.axes for text in ax.texts]

    assert titles == ["between two ranks", "collectives"]
    assert sorted(names) == ["all_gather", "both", "ping"]
    assert [text.get_text() for text in fig.legends[0].get_texts()] == [
        "measured: undisturbed median and middle half",
        "predicted, with its 95 % interval",
    ]


def test_without_collectives_there_is_one_side() -> None:
    """And what is left has the place."""
    fig = calibration.draw(calibration.table(cells("ping")))
    assert len(fig.axes) == 2


def test_the_lower_panel_shows_measured_over_predicted() -> None:
    """Here 1.1 at every size."""
    fig = calibration.draw(calibration.table(cells("ping")))
    drawn = [line for line in fig.axes[1].lines if len(line.get_xdata()) == 3]  # type: ignore[arg-type]

    assert drawn[0].get_ydata() == pytest.approx([1.1] * 3)


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_the_same_table_is_drawn_to_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    """From table to file nothing depends on chance."""
    for name in ("first", "second"):
        fig = calibration.draw(calibration.table(cells("ping", "all_reduce")))
        style.save(fig, tmp_path / f"{name}{suffix}")

    assert (tmp_path / f"first{suffix}").read_bytes() == (tmp_path / f"second{suffix}").read_bytes()
