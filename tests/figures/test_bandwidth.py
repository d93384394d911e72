"""Latency against bandwidth: any points that make sense can be drawn, others are refused."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from figures import bandwidth, style
from traces.errors import InputError


def points(schedule: str = "ring", *, rates: tuple[float, ...] = (1e9, 1e8, 1e10)) -> list[Any]:
    """Predictions that fall towards a second of computing; all but the slowest have a name."""
    return [
        {
            "schedule": schedule,
            "rate_bps": rate_bps,
            "total_s": 1.0 + 1e9 / rate_bps,
            "compute_s": 1.0,
            "evidence": "predicted",
            "network": f"net-{rate_bps:g}" if rate_bps > 1e8 else "",
        }
        for rate_bps in rates
    ]


def labels(table: pd.DataFrame) -> list[str]:
    """What is written into the figure, in the order of writing."""
    return [text.get_text() for text in bandwidth.draw(table).axes[0].texts]


def test_schedules_keep_their_order_and_rates_rise() -> None:
    """A list of points in any order becomes lines that can be drawn from left to right."""
    table = bandwidth.table([*points("ulysses"), *points("ring")])

    assert list(table) == list(bandwidth.COLUMNS)
    assert table["schedule"].unique().tolist() == ["ulysses", "ring"]
    assert table["rate_bps"].tolist() == [1e8, 1e9, 1e10] * 2


def test_a_table_goes_in_as_well_as_a_list() -> None:
    """A DataFrame with more columns gives the same table."""
    frame = pd.DataFrame(points()).assign(more=1)

    pd.testing.assert_frame_equal(bandwidth.table(frame), bandwidth.table(points()))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"evidence": "guessed"}, "unknown evidence 'guessed'"),
        ({"rate_bps": 0.0}, "rate_bps of schedule 'ring' is 0.0, expected more than 0"),
        ({"total_s": math.nan}, "total_s of schedule 'ring' is nan"),
    ],
)
def test_points_that_make_no_sense_are_refused(change: dict[str, Any], message: str) -> None:
    """The message names the column, the schedule and the value."""
    with pytest.raises(InputError, match=message):
        bandwidth.table([*points(), points()[0] | change])


def test_a_missing_column_and_no_points_are_refused() -> None:
    """There is no figure of nothing."""
    with pytest.raises(InputError, match="column 'compute_s' is missing"):
        bandwidth.table(pd.DataFrame(points()).drop(columns="compute_s"))
    with pytest.raises(InputError, match="no points"):
        bandwidth.table([])


def test_lines_networks_and_compute_alone_are_labelled_directly() -> None:
    """Each schedule's name is beside its line, each network's above the axes."""
    table = bandwidth.table([*points("ring"), *points("ulysses")])

    assert labels(table) == ["compute alone", "ring", "ulysses", "net-1e+09", "net-1e+10"]


@pytest.mark.parametrize("rates", [(1e8, 1e9, math.inf), (math.inf,), (1e9,)])
def test_infinite_rates_and_single_points_can_be_drawn(
    tmp_path: Path, rates: tuple[float, ...]
) -> None:
    """An infinite rate has a place of its own on the axis, called so."""
    fig = bandwidth.draw(bandwidth.table(points(rates=rates)))
    style.save(fig, tmp_path / "fig.png")
    ticks = [tick.get_text() for tick in fig.axes[0].get_xticklabels()]

    assert ("∞" in ticks) == (math.inf in rates)


def test_only_predictions_are_joined_by_a_line() -> None:
    """Between two measurements nothing is claimed."""
    change = {"evidence": "measured", "rate_bps": 2e9, "network": ""}
    measured = [point | change for point in points()]
    fig = bandwidth.draw(bandwidth.table([*points(), *measured]))
    drawn = {
        line.get_linestyle() for line in fig.axes[0].lines if 2e9 in np.asarray(line.get_xdata())
    }

    assert drawn == {"None"}


def test_the_key_says_at_which_rate_a_measurement_is_drawn() -> None:
    """Its link's rate is not known, only what it achieved."""
    measured = points()[0] | {"evidence": "measured"}
    fig = bandwidth.draw(bandwidth.table([*points(), measured]))

    key = [text.get_text() for text in fig.legends[0].get_texts()]
    assert key == ["measured, at the rate it achieved", "predicted"]


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_the_same_table_is_drawn_to_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    """From table to file nothing depends on chance."""
    for name in ("first", "second"):
        style.save(bandwidth.draw(bandwidth.table(points())), tmp_path / f"{name}{suffix}")

    assert (tmp_path / f"first{suffix}").read_bytes() == (tmp_path / f"second{suffix}").read_bytes()


def test_labels_move_apart_only_as_far_as_need_be() -> None:
    """Those that are apart stay; those that crowd are set around their mean."""
    np.testing.assert_allclose(bandwidth.spread([0.0, 0.5, 0.5, 0.9], 0.1), [0, 0.45, 0.55, 0.9])
    np.testing.assert_allclose(bandwidth.spread([0.5, 0.5, 0.5], 0.1), [0.4, 0.5, 0.6])
