"""`thinwire quality`: the table, what it keeps, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from simnet.cli import BAD_INPUT, OK, call

pytestmark = pytest.mark.usefixtures("one_thread")

MODEL = ["quality", "--model", "dit-fashion", "--images", "12", "--batch", "6"]
SMALL = [
    *MODEL, "--steps", "2", "--predict-model", "dit-nano", "--predict-images", "2",
    "--networks", "ethernet-1g,pcie-4",
]  # fmt: skip


def test_it_prints_a_row_for_each_schedule_and_draws_a_sample_of_each(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Which columns are measured, and which predicted, is said in their heads."""
    grid = tmp_path / "grid.png"
    assert call([*SMALL, "--schedules", "ring/residual-1bit", "--grid", str(grid)]) == OK
    printed = capsys.readouterr().out
    assert "dit-fashion: 12 images, measured; latency predicted for dit-nano" in printed
    heads = [line.split() for line in printed.splitlines()]
    assert ["measured"] * 7 + ["predicted"] * 3 in heads
    assert "8x4090-pcie" not in printed
    single, coded = (
        next(line.split() for line in printed.splitlines() if line.split()[:1] == [name])
        for name in ("single", "ring/residual-1bit")
    )
    assert "equal" in single
    assert "equal" not in coded
    assert single.count("-") == coded.count("-") == 2  # both distances
    assert "single, 2 steps: no Fréchet distance: 12 images, 65 or more are needed" in printed
    assert grid.stat().st_size > 0


def test_json_has_the_rows_and_a_second_call_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Read from the file that the first call wrote; a grid asks for its samples alone."""
    command = [*SMALL, "--schedules", "ring", "--out", str(tmp_path / "Q.csv"), "--json"]
    assert call(command) == OK
    first = json.loads(capsys.readouterr().out)
    written = (tmp_path / "Q.csv").read_bytes()
    assert call([*command, "--grid", str(tmp_path / "grid.svg")]) == OK
    assert json.loads(capsys.readouterr().out) == first
    assert (tmp_path / "Q.csv").read_bytes() == written
    assert [(row["schedule"], row["ranks"], row["steps"]) for row in first] == [
        ("single", 1, 2),
        ("ring", 4, 2),
    ]
    single, ring = first
    assert single["wire_bytes_per_image"] == 0 < ring["wire_bytes_per_image"]
    assert 0 < ring["latency_s pcie-4"] < ring["latency_s ethernet-1g"]
    assert single["latency_s pcie-4"] == single["latency_s ethernet-1g"]
    assert single["psnr_db"] is None
    assert (tmp_path / "grid.svg").stat().st_size > 0


def test_no_networks_no_prediction(capsys: pytest.CaptureFixture[str]) -> None:
    """What is measured stays."""
    command = [*MODEL, "--steps", "1", "--schedules", "single", "--networks", "", "--json"]
    assert call(command) == OK
    (row,) = json.loads(capsys.readouterr().out)
    assert not [name for name in row if name.startswith("latency_s")]
    assert row["ssim"] == pytest.approx(1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--schedules", "rings"], "unknown schedule 'rings': did you mean 'ring'?"),
        (["--schedules", ""], "name at least one schedule and one number of steps"),
        (["--schedules", "ring", "--steps", "50,ten"], "steps is 'ten', expected numbers such as"),
        (["--schedules", "ring", "--steps", "0"], "steps is 0, expected 1 or more"),
        (["--schedules", "ring", "--ranks", "3"], "3 ranks cannot split"),
        (["--schedules", "ring", "--networks", "lan"], "unknown network 'lan'"),
        (["--schedules", "ring", "--ranks", "8", "--networks", "l20-pcie4"], "places for 4 ranks"),
        (["--schedules", "ring", "--gpu", "rtx"], "unknown device 'rtx'"),
        (["--schedules", "ring", "--predict-model", "dit"], "unknown model 'dit'"),
        (["--schedules", "ring", "--out", "rows.json"], "must end in .csv or .parquet"),
        (["--schedules", "ring", "--grid", "grid.gif"], "must end in .png, .svg, .pdf"),
        (["--schedules", "ring", "--threads", "0"], "threads is 0, expected 1 or more"),
    ],
)
def test_what_will_not_do_is_said_before_anything_is_made(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line that says what was expected."""
    assert call([*MODEL, *arguments]) == BAD_INPUT
    assert message in capsys.readouterr().err


def test_a_model_that_nobody_trained_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    """What it makes are no pictures."""
    assert call(["quality", "--model", "dit-tiny", "--schedules", "ring"]) == BAD_INPUT
    assert "dit-tiny has random weights" in capsys.readouterr().err
