"""Predicted against measured: which runs are drawn, where, and with which band."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from figures import predicted, style
from simnet.cli import BAD_INPUT, OK, call
from traces.errors import InputError

ROWS = pd.DataFrame(
    {
        "network": ["flat-2x50M", "flat-4x50M", "two-hosts-200M", "slow-host-4x100M"],
        "rate_bps": [50e6, 50e6, 200e6, 100e6],
        "compute": ["paced", "real", "paced", "paced"],
        "measured_s": [1.0, 2.0, 4.0, math.nan],
        "predicted_s": [1.1, 1.9, 4.0, math.nan],
        "error": [0.1, -0.05, 0.0, math.nan],
    }
)


def test_every_run_with_numbers_is_a_point_of_its_kind_of_network() -> None:
    """Those that failed are left out."""
    points = predicted.table(ROWS)

    assert points["kind"].tolist() == ["flat, 2 ranks", "flat, 4 ranks", "two hosts"]
    assert points["error"].tolist() == [0.1, -0.05, 0.0]


@pytest.mark.parametrize("name", ["network", "error", "compute"])
def test_a_table_that_lacks_a_column_is_refused(name: str) -> None:
    """The column is named."""
    with pytest.raises(InputError, match=f"column '{name}' is missing"):
        predicted.table(ROWS.drop(columns=name))


def test_a_table_without_numbers_is_refused() -> None:
    """All runs may have failed."""
    with pytest.raises(InputError, match="no run with numbers"):
        predicted.table(ROWS.tail(1))


def test_points_stand_where_the_table_says() -> None:
    """Paced ones filled, real ones hollow; the axis of errors holds them all."""
    points = predicted.table(ROWS)
    runs, errors = predicted.draw(points).axes
    drawn = [line for line in runs.lines if line.get_marker() in ("o", "s")]

    found = sorted(tuple(np.asarray(line.get_xydata())[0]) for line in drawn)
    assert found == [(1.0, 1.1), (2.0, 1.9), (4.0, 4.0)]
    (hollow,) = [line for line in drawn if line.get_markerfacecolor() == "none"]
    assert tuple(np.asarray(hollow.get_xydata())[0]) == (2.0, 1.9)
    low, high = errors.get_ylim()
    assert low == -high
    assert high > np.abs(points["error"]).max()


def test_the_bands_are_the_errors_that_runs_are_to_stay_below() -> None:
    """As the suite has them."""
    from simnet.validation.lab_report import MEDIAN_BAR, P90_BAR

    assert (MEDIAN_BAR, P90_BAR) == predicted.BANDS


def test_the_same_table_gives_the_same_bytes(tmp_path: Path) -> None:
    """As every figure does."""
    points = predicted.table(ROWS)
    for name in ("one.png", "other.png"):
        style.save(predicted.draw(points), tmp_path / name)
    assert (tmp_path / "one.png").read_bytes() == (tmp_path / "other.png").read_bytes()


def test_the_command_draws_a_folder_and_a_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And refuses what is neither."""
    ROWS.to_parquet(tmp_path / "lab.parquet")
    out = tmp_path / "f.svg"
    for where in (tmp_path, tmp_path / "lab.parquet"):
        assert call(["figure", "predicted", str(where), "--out", str(out)]) == OK
        assert out.read_text().startswith("<?xml")
        out.unlink()
    (tmp_path / "bad.parquet").write_text("no")
    for name, message in (("none", "there is no table"), ("bad.parquet", "expected a Parquet")):
        asked = ["figure", "predicted", str(tmp_path / name), "--out", str(out)]
        assert call(asked) == BAD_INPUT
        assert message in capsys.readouterr().err
