"""`thinwire import` and `thinwire export`, as a user calls them."""

from __future__ import annotations

import gzip
import json
import re
from pathlib import Path

import pytest

from simnet.cli import BAD_INPUT, OK, call
from traces.trace import Trace

FORMATS = Path(__file__).resolve().parents[2] / "docs" / "formats.md"
EVENTS = [{"ph": "X", "cat": "cpu_op", "name": "aten::mm", "pid": 1, "tid": 1, "ts": 10, "dur": 5}]


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    """A small run, predicted."""
    there = tmp_path / "T"
    options = ["--model", "dit-nano", "--ranks", "2", "--steps", "2", "--device", "l20"]
    assert call(["predict", *options, "--network", "pcie-4", "--out", str(there)]) == OK
    return there


def test_a_trace_goes_to_chakra_and_back(
    recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Row for row; and its replay is the same."""
    assert call(["export", str(recorded), "--out", str(tmp_path / "x.et")]) == OK
    assert "--workload-configuration=" in capsys.readouterr().out
    files = [str(tmp_path / f"x.{rank}.et") for rank in (0, 1)]
    back = tmp_path / "back"
    assert call(["import", *files, "--out", str(back)]) == OK
    assert Trace.open(back).ops.equals(Trace.open(recorded).ops)
    assert call(["import", *files, "--out", str(back)]) == BAD_INPUT
    assert call(["import", *files, "--out", str(back), "--overwrite"]) == OK


def test_a_profile_is_imported_and_replayed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was guessed is said on stderr."""
    path = tmp_path / "rank0.json"
    path.write_text(json.dumps({"traceEvents": EVENTS}))
    assert call(["import", str(path), "--model", "mine", "-o", str(tmp_path / "T")]) == OK
    assert "1 ranks, 1 steps, 0 transfers, 5.00 µs (measured)" in capsys.readouterr().out
    assert call(["replay", str(tmp_path / "T"), "--network", "ethernet-1g"]) == OK


def test_the_commands_of_the_page_on_formats_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One after the other, on a profile of two ranks."""
    monkeypatch.chdir(tmp_path)
    for rank in (0, 1):
        data = {"distributedInfo": {"rank": rank, "world_size": 2}, "traceEvents": EVENTS}
        Path(f"rank{rank}.json.gz").write_bytes(gzip.compress(json.dumps(data).encode()))
    commands = re.findall(r"^    thinwire (.*?)   .*$", FORMATS.read_text(), re.MULTILINE)
    assert len(commands) == 3
    for command in commands:
        assert call(command.split()) == OK, command
    assert {"T.json.gz", "T.0.et", "T.1.et"} <= {path.name for path in tmp_path.iterdir()}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["missing.json", "-o", "T"], "missing.json: cannot be read: No such file"),
        (["a.json", "-o", "T", "--format", "har"], "unknown format 'har'"),
        (["a.json", "d.json", "-o", "T"], "several formats"),
        (["a.json", "-o", "a.json"], "a.json: --out is, or lies in"),
        (["c.txt", "-o", "T"], "c.txt: is none of kineto"),
    ],
)
def test_what_will_not_do_is_said(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    *,
    arguments: list[str],
    message: str,
) -> None:
    """In a line, with exit code 2."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a.json").write_text('{"traceEvents": []}')
    (tmp_path / "c.txt").write_text("no trace")
    (tmp_path / "d.json").write_text('{"nodes": []}')
    assert call(["import", *arguments]) == BAD_INPUT
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("name", ["U.txt", "U", "U.et.gz", "U.gz"])
def test_a_name_that_says_no_format_is_refused(
    recorded: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], *, name: str
) -> None:
    """Rather than that a picture is written into it."""
    assert call(["export", str(recorded), str(tmp_path / name)]) == BAD_INPUT
    assert "expected a name that ends in .json, .json.gz or .et" in capsys.readouterr().err
    assert not (tmp_path / name).exists()
