"""The command `calibrate`: what it refuses before it measures, and what it writes afterwards."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest

from simnet.calibration.case import COLLECTIVES, COLUMNS
from simnet.cli import BAD_INPUT, call
from simnet.network.files import load
from simnet.network.topology import Links, Medium

LIVE = Path(__file__).parent / "live"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--ranks", "1", "--out", "n.toml"], "needs 2 ranks or more"),
        (["--out", "n.json"], "whose name ends in .toml"),
        (["--out", "none/n.toml"], "does not exist"),
        (["--out", "n.toml", "--figure", "f.txt"], "must end in .png, .svg or .pdf"),
        (["--out", "n.toml", "--rate", "5"], "has no unit"),
        (["--out", "n.toml", "--rate", "1bit/s"], "--rate 1bit/s: a link of the lab carries"),
        (["--out", "n.toml", "--rate", "inf"], "--rate inf: a link of the lab carries"),
        (["--out", "n.toml", "--backend", "nccl", "--rate", "1Gbit/s"], "NCCL does not use"),
    ],
)
def test_requests_that_cannot_be_met_are_refused_at_once(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Before anything is measured."""
    monkeypatch.chdir(tmp_path)
    assert call(["calibrate", *arguments]) == BAD_INPUT
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("taken", ["n.toml", "n.csv", "n.parquet", "f.svg"])
def test_files_that_are_there_are_not_replaced_unasked(
    taken: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Any of the four is named before anything is measured; with --overwrite none is."""
    monkeypatch.chdir(tmp_path)
    Path(taken).write_text("mine")
    command = ["calibrate", "--out", "n.toml", "--figure", "f.svg", "--ranks", "1"]

    assert call(command) == BAD_INPUT
    assert f"{taken}: exists; choose another name, or use --overwrite" in capsys.readouterr().err
    assert call([*command, "--overwrite"]) == BAD_INPUT
    assert "needs 2 ranks" in capsys.readouterr().err
    assert Path(taken).read_text() == "mine"


@pytest.mark.slow
def test_two_ranks_on_the_loopback_give_a_network_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its numbers are those of some network, and another command takes it."""
    monkeypatch.chdir(tmp_path)
    command = ["calibrate", "--quick", "--out", "net.toml", "--figure", "fit.svg", "--json"]
    assert call(command) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["measured"] == "gloo, 2 ranks, quick"
    assert {"net.toml", "net.parquet", "net.csv", "fit.svg"} == {
        path.name for path in tmp_path.iterdir()
    }
    network = load(Path("net.toml"))
    assert isinstance(network, Links | Medium)
    assert 1e8 < network.rate_bps < 1e12
    assert 1e-6 < network.latency_s + network.message_s < 1e-2
    assert set(told["efficiency"]) == set(COLLECTIVES)
    table = pd.read_parquet("net.parquet")
    assert tuple(table) == COLUMNS
    assert (table["seconds"] > 0).all()
    pd.testing.assert_frame_equal(table, pd.read_csv("net.csv"))
    assert call(["predict", "--device", "l20", "--network", "net.toml", "--ranks", "2"]) == 0


@pytest.mark.slow
def test_torchrun_s_ranks_calibrate_together(tmp_path: Path) -> None:
    """Rank 0 writes the file; so a network between hosts is measured."""
    module = ["-m", "simnet", "calibrate", "--quick", "--out", str(tmp_path / "net.toml")]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", *module]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)

    assert done.returncode == 0, done.stderr
    assert load(tmp_path / "net.toml").source["measured"] == "gloo, 2 ranks, quick"
    assert done.stdout.count("efficiency of all_gather") == 1


@pytest.mark.slow
@pytest.mark.parametrize("how", ["raise", "kill", "exit"])
def test_a_rank_that_fails_is_named_and_none_is_left(how: str) -> None:
    """Whether it says why, is killed, or just ends."""
    script = [sys.executable, str(LIVE / "failing_rank.py"), how]
    done = subprocess.run(script, capture_output=True, text=True, timeout=60, check=False)
    expected = {
        "raise": "rank 1: ValueError: out of luck",
        "kill": "rank 1 was killed by signal 9",
        "exit": "rank 1 ended with exit code 7: last words",
    }

    assert done.stdout.splitlines() == [expected[how], "0 left"], done.stderr
