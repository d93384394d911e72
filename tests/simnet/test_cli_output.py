"""What the command prints and where: whole numbers, what is missing, and closed pipes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch

from simnet.cli import BAD_INPUT, FAILED, NOBODY_READS, OK, call
from simnet.network.presets import NETWORKS, links
from simnet.network.topology import Links
from traces.operation import Operation, table
from traces.run import Run
from traces.trace import Trace
from traces.units import format_rate, format_s

NANO = ("--model", "dit-nano", "--ranks", "2", "--steps", "3")
STDOUT_FULL = Path("/dev/full")


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small local run, with activations."""
    path = tmp_path_factory.mktemp("recorded") / "T"
    assert (
        call(["run", *NANO, "--driver", "local", "--keep", "kv, hidden", "--out", str(path)]) == OK
    )
    return path


@pytest.fixture
def killed(recording: Path, tmp_path: Path) -> Path:
    """The same, had it been meant to go on for twelve steps, and one rank been a step behind."""
    whole = Trace.open(recording)
    ops = whole.ops[(whole.ops["step"] < 2) | (whole.ops["rank"] == 0)]
    Trace(replace(whole.run, steps=12), ops.reset_index(drop=True)).save(tmp_path / "K")
    return tmp_path / "K"


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    """What a command prints as JSON."""
    capsys.readouterr()
    assert call([*arguments, "--json"]) == OK
    return json.loads(capsys.readouterr().out)


def test_names_between_commas_may_have_spaces(recording: Path, tmp_path: Path) -> None:
    """Of activations to keep and of networks to mark."""
    assert Trace.open(recording).kept() == ("hidden", "kv")
    out = tmp_path / "b.png"
    networks = ["--networks", "ethernet-1g, pcie-4,"]
    assert call(["figure", "bandwidth", str(recording), *networks, "--out", str(out)]) == OK
    points = pd.read_csv(out.with_suffix(".csv"))
    assert set(points["network"].dropna()) == {"ethernet-1g", "pcie-4"}
    assert set(points["evidence"]) == {"predicted"}  # a local run had no network


def test_traces_of_one_schedule_are_lines_of_their_own(recording: Path, tmp_path: Path) -> None:
    """Told apart by their folders; the only one of another schedule goes by its schedule."""
    where = ["--device", "l20", "--network", "pcie-4", "--out"]
    other, third = str(tmp_path / "U"), str(tmp_path / "V")
    assert call(["predict", *NANO, *where, other]) == OK
    assert call(["predict", *NANO, "--schedule", "distrifusion", *where, third]) == OK
    out = tmp_path / "b.png"
    assert call(["figure", "bandwidth", str(recording), other, third, "--out", str(out)]) == OK
    labels = pd.read_csv(out.with_suffix(".csv"))["schedule"].unique()
    assert labels.tolist() == ["ring (T)", "ring (U)", "distrifusion:warmup_steps=1:layers=1"]


def test_a_timeline_can_have_the_replay_on_the_recorded_network(
    recording: Path, tmp_path: Path
) -> None:
    """Under the name that `replay` has for it."""
    out = tmp_path / "t.svg"
    figure = ["figure", "timeline", str(recording), "--network", "recorded", "--out", str(out)]
    assert call(figure) == OK
    assert "<svg" in out.read_text()


@pytest.mark.parametrize("by", ["layer", "step"])
def test_a_summary_can_be_split(
    recording: Path, by: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """The parts add up to what all ranks computed and waited."""
    shown = printed(capsys, "show", str(recording), "--by", by)
    parts = shown[f"by_{by}"]
    assert all(part.keys() == {by, "compute_s", "exposed_s", "hidden_s"} for part in parts)
    for key in ("compute_s", "exposed_s"):
        ranks = sum(rank[key] for rank in shown["ranks"])
        assert sum(part[key] for part in parts) == pytest.approx(ranks)
    assert call(["show", str(recording), "--by", by]) == OK
    assert "summed over ranks" in capsys.readouterr().out


def test_lists_for_machines_have_numbers_with_units(capsys: pytest.CaptureFixture[str]) -> None:
    """As they are, not as they are printed; JSON has no infinity."""
    networks = {entry["name"]: entry for entry in printed(capsys, "list", "networks")}
    assert (networks["infinite"]["rate_bps"], networks["infinite"]["latency_s"]) == ("inf", 0.0)
    assert networks["pcie-4"]["rate_bps"] == links("pcie-4").rate_bps
    for device in printed(capsys, "list", "devices"):
        assert device["memory_bytes_per_s"] > device["launch_s"] > 0
        assert device["flops"] > 1e9
    schedules = {entry["name"]: entry for entry in printed(capsys, "list", "schedules")}
    assert schedules["distrifusion"]["parameters"] == {"warmup_steps": 1, "layers": 1}


def test_a_narrow_terminal_loses_no_digits(
    recording: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A table keeps its width, and the terminal wraps it."""
    monkeypatch.setenv("COLUMNS", "40")
    assert call(["list", "networks"]) == OK
    out = capsys.readouterr().out
    for name in NETWORKS:
        row = next(line for line in out.splitlines() if line.split()[:1] == [name])
        if isinstance(preset := NETWORKS[name], Links):
            assert f" {format_rate(preset.rate_bps)} " in row
            assert f" {format_s(preset.latency_s)} " in row
    summary = printed(capsys, "show", str(recording))
    assert call(["show", str(recording)]) == OK
    out = capsys.readouterr().out
    for rank in summary["ranks"]:
        for key in ("total_s", "compute_s", "exposed_s", "host_s", "hidden_s"):
            assert f" {format_s(rank[key])} " in out


def _commands(trace: Path) -> Iterator[list[str]]:
    out = trace.parent
    yield ["show", str(trace), "--draw"]
    yield ["replay", str(trace), "--network", "pcie-4", "--partial"]
    yield ["compare", str(trace), str(trace)]
    yield ["profile", str(trace)]
    yield ["predict", *NANO, "--costs", str(trace), "--dtype", "float32", "--network", "pcie-4"]
    yield ["export", str(trace), str(out / "k.json")]
    yield ["figure", "timeline", str(trace), "--network", "pcie-4", "--out", str(out / "t.png")]
    yield ["figure", "bandwidth", str(trace), "--out", str(out / "b.png")]


def test_every_command_says_what_a_trace_lacks(
    killed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On stderr; and does what can be done with the rest."""
    for command in _commands(killed):
        capsys.readouterr()
        assert call(command) == OK, command
        assert f"{killed}: incomplete: rank 1: " in capsys.readouterr().err, command


def test_the_headline_of_an_incomplete_trace_says_how_much_there_is(
    killed: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And so does that of the drawing."""
    assert call(["show", str(killed), "--draw"]) == OK
    assert capsys.readouterr().out.count("2 ranks, 2 of 12 steps") == 2


def test_ranks_that_wait_for_each_other_end_with_a_code_of_their_own(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The trace is one that can be written, but no network can play it."""
    run = Run("tiny", "crossed", 2, 1, "distributed", device="toy", network="wire")
    rows = []
    for rank, peer in ((0, 1), (1, 0)):
        got = Operation(rank, 0, "world", "recv", "kv", 0, 0, 0.0, 1.0, src=peer, group="0,1")
        got.shape = "1:float32"
        wait = Operation(rank, 1, "compute", "wait", "kv", 0, 0, 0.0, 1.0, waits_for=0)
        sent = Operation(rank, 2, "world", "send", "kv", 0, 0, 1.0, 2.0, dst=peer, group="0,1")
        sent.bytes, sent.wire_bytes, sent.shape = 4, 4, "1:float32"
        rows += [got, wait, sent]
    Trace(run, table(rows)).save(tmp_path / "T")
    assert call(["replay", str(tmp_path / "T"), "--network", "pcie-4"]) == FAILED
    said = capsys.readouterr().err
    assert "rank 0" in said
    assert "rank 1" in said


def test_torchrun_does_not_start_what_needs_one_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Rather than run something else than was asked for."""
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "any")
    assert call(["run", *NANO, "--driver", "local", "--out", str(tmp_path / "T")]) == BAD_INPUT
    assert "--driver local plays all ranks in one process" in capsys.readouterr().err


def test_under_torchrun_a_host_needs_gpus_for_its_own_ranks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Those of other hosts have theirs there."""
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "any")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "60")
    where = ["--device", "cuda", "--out", str(tmp_path / "T")]
    assert call(["run", "--ranks", "240", *where]) == BAD_INPUT
    there_are = f"60 of this host's GPUs are needed, and torch finds {torch.cuda.device_count()}"
    assert there_are in capsys.readouterr().err


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_local_run_on_a_gpu_that_is_not_there_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is written."""
    where = ["--driver", "local", "--device", "cuda", "--out", str(tmp_path / "T")]
    assert call(["run", *NANO, *where]) == BAD_INPUT
    assert "1 of this host's GPUs are needed, and torch finds 0" in capsys.readouterr().err
    assert not (tmp_path / "T").exists()


@pytest.mark.parametrize(
    "arguments",
    [["--help"], ["list", "--help"], ["list", "networks"], ["list", "models", "--json"]],
)
def test_a_reader_that_has_gone_is_no_error(arguments: list[str]) -> None:
    """As with `thinwire ... | head -1`: silence, and the exit code that shells give SIGPIPE."""
    reading, writing = os.pipe()
    os.close(reading)
    done = _thinwire(arguments, writing)
    os.close(writing)
    assert (done.returncode, done.stderr) == (NOBODY_READS, "")


@pytest.mark.skipif(not STDOUT_FULL.exists(), reason="no device that is always full")
@pytest.mark.parametrize("arguments", [["--version"], ["list", "models", "--json"]])
def test_a_full_disk_is_told_in_a_line(arguments: list[str]) -> None:
    """Nothing was wrong with the arguments."""
    with STDOUT_FULL.open("w") as full:
        done = _thinwire(arguments, full.fileno())
    assert (done.returncode, done.stderr) == (FAILED, "thinwire: system: No space left on device\n")


def _thinwire(arguments: list[str], stdout: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "simnet", *arguments]
    return subprocess.run(command, stdout=stdout, stderr=subprocess.PIPE, text=True, check=False)
