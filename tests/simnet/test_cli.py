"""The command as a script or a newcomer meets it: keys, files, exit codes and errors."""

from __future__ import annotations

import gzip
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import psutil
import pytest

from simnet.cli import BAD_INPUT, COMMANDS, FAILED, INTERRUPTED, OK, call

SUMMARY = {
    *("total_s", "compute_s", "exposed_s", "host_s", "hidden_s", "bytes", "wire_bytes"),
    *("evidence", "model", "schedule", "steps", "world", "network", "device", "ranks"),
}
FIGURES = ("timeline", "bandwidth")
TIMELINE = ("figure", "timeline", "T", "--out", "t.png")
NANO = ["--model", "dit-nano", "--ranks", "2", "--steps", "3"]


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small local run."""
    path = tmp_path_factory.mktemp("recorded") / "T"
    arguments = [*NANO, "--driver", "local", "--schedule", "distrifusion", "--out", str(path)]
    assert call(["run", *arguments]) == OK
    return path


@pytest.fixture
def beside_t(recording: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with nothing in it but the recording, as T."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "T").symlink_to(recording)
    return tmp_path


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    """What a command prints as JSON."""
    capsys.readouterr()
    assert call([*arguments, "--json"]) == OK
    return json.loads(capsys.readouterr().out)


def complaint(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str]:
    """The exit code of a command, and what it says on stderr."""
    capsys.readouterr()
    code = call(arguments)
    return code, capsys.readouterr().err


def test_run_replay_and_predict_print_the_same_keys(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of the run and of each rank; and bytes are those of all ranks summed up."""
    ran = printed(capsys, "run", *NANO, "--driver", "local", "--out", str(tmp_path / "T"))
    again = printed(capsys, "replay", str(recording), "--network", "ethernet-1g")
    predicted = printed(capsys, "predict", *NANO, "--device", "l20", "--network", "pcie-4")
    shown = printed(capsys, "show", str(recording))
    for summary in (ran, again, predicted, shown):
        assert summary.keys() >= SUMMARY
        assert len(summary["ranks"]) == summary["world"] == 2
        for key in ("bytes", "wire_bytes"):
            assert summary[key] == sum(rank[key] for rank in summary["ranks"])
        parts = summary["compute_s"] + summary["exposed_s"] + summary["host_s"]
        assert summary["total_s"] == pytest.approx(parts)
    assert (ran["evidence"], again["evidence"]) == ("measured compute", "predicted")
    assert again["recorded"]["total_s"] == shown["total_s"]


@pytest.mark.parametrize("choice", [["--rate", "2Gbit/s", "--latency", "1ms"], ["--rate", "inf"]])
def test_links_can_be_given_by_rate_and_latency(
    recording: Path, choice: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    """With units, or none at all for an infinite rate."""
    assert printed(capsys, "replay", str(recording), *choice)["total_s"] > 0


def test_costs_of_a_trace_predict_another_network(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the trace itself, or from the profile made of it: to the same effect."""
    profile = tmp_path / "costs.json"
    calls = printed(capsys, "profile", str(recording), "--out", str(profile))
    assert {"project", "attend_patches", "finish"} <= {entry["name"] for entry in calls}
    model = [*NANO, "--dtype", "float32", "--schedule", "distrifusion", "--network", "pcie-3"]
    totals = [
        printed(capsys, "predict", *model, "--costs", str(costs))["total_s"]
        for costs in (recording, profile)
    ]
    assert totals[0] == totals[1] > 0


def test_a_replay_is_saved_and_compared_with_its_recording(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Row by row; compute is the same."""
    saved = str(tmp_path / "R")
    assert call(["replay", str(recording), "--network", "ethernet-100m", "--out", saved]) == OK
    compared = printed(capsys, "compare", str(recording), saved)
    for entry in compared:
        if entry["kind"] == "compute":
            assert entry["left_s"] == pytest.approx(entry["right_s"])
        else:
            assert entry["left_s"] < entry["right_s"]


@pytest.mark.parametrize("name", ["T.json", "T.json.gz"])
def test_a_trace_is_exported_for_perfetto(recording: Path, tmp_path: Path, name: str) -> None:
    """As JSON with an event for every operation."""
    assert call(["export", str(recording), str(tmp_path / name)]) == OK
    opened = gzip.open if name.endswith(".gz") else open
    with opened(tmp_path / name, "rt") as file:
        events = json.load(file)["traceEvents"]
    assert sum(event["ph"] == "X" for event in events) > 50


@pytest.mark.parametrize("what", ["models", "schedules", "codecs", "networks", "devices"])
def test_what_there_is_to_choose_from_is_listed(
    what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """For people and for machines."""
    names = [entry["name"] for entry in printed(capsys, "list", what)]
    assert names
    assert call(["list", what]) == OK
    out = capsys.readouterr().out
    assert all(name in out for name in names)


def test_figures_are_drawn_from_traces(recording: Path, tmp_path: Path) -> None:
    """A timeline with its replay; latency against bandwidth, with the table behind it."""
    timeline, bandwidth = tmp_path / "timeline.svg", tmp_path / "bandwidth.png"
    where = ["--network", "ethernet-1g", "--out", str(timeline)]
    assert call(["figure", "timeline", str(recording), *where]) == OK
    assert "<svg" in timeline.read_text()
    assert call(["figure", "bandwidth", str(recording), "--out", str(bandwidth)]) == OK
    assert bandwidth.read_bytes().startswith(b"\x89PNG")
    assert bandwidth.with_suffix(".csv").read_text().startswith("schedule,rate_bps,total_s")


def test_a_trace_can_be_looked_at_as_text(
    recording: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A line for each rank."""
    assert call(["show", str(recording), "--draw"]) == OK
    out = capsys.readouterr().out
    assert "rank 0" in out
    assert "rank 1" in out


def test_doctor_says_what_this_machine_can_do(capsys: pytest.CaptureFixture[str]) -> None:
    """Each check has a finding."""
    checks = printed(capsys, "doctor")
    assert {"torch.distributed", "import names", "lab tools"} <= {check["name"] for check in checks}
    assert all(check["found"] for check in checks)


@pytest.mark.parametrize("name", COMMANDS)
def test_help_has_an_example(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Of every command."""
    for arguments in [[name]] + [[name, kind] for kind in FIGURES if name == "figure"]:
        capsys.readouterr()
        assert call([*arguments, "--help"]) == OK
        assert f"\n thinwire {' '.join(arguments)}" in capsys.readouterr().out


def test_help_does_not_wait_for_heavy_imports() -> None:
    """Nor does the version."""
    code = (
        "import sys; from simnet.cli import call; call(['--help']); call(['--version']);"
        "print([m for m in ('torch', 'pandas', 'matplotlib', 'xarray') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["frobnicate"], "frobnicate"),
        (["replay"], "trace"),
        (["replay", "T"], "which network?"),
        (["replay", "T", "--network", "ethernet1g"], "did you mean 'ethernet-1g'"),
        (["replay", "T", "--rate", "100"], "rate '100' has no unit"),
        (["replay", "T", "--rate", "1Gbit/s", "--latency", "50"], "time '50' has no unit"),
        (["replay", "T", "--rate", "-1Gbit/s"], "must be more than zero"),
        (["replay", "T", "--rate", "nan"], "is not a number with a unit"),
        (["replay", "T", "--rate", "1Gbit/s", "--latency", "nan s"], "is not a number"),
        (["replay", "T", "--rate", "1Gbit/s", "--latency", "-5us"], "not negative"),
        (["replay", "T", "--latency", "5us"], "which network?"),
        (["replay", "T", "--network", "pcie-4", "--rate", "1Gbit/s"], "but not both"),
        (["replay", "T", "--network", "recorded", "--rate", "1Gbit/s"], "but not both"),
        (["replay", "T", "--network", "recordet"], "did you mean 'recorded'"),
        (
            ["replay", "T", "--network", "pcie-4", "--out", "T", "--overwrite"],
            "name another folder",
        ),
        (["replay", "nowhere", "--network", "pcie-4"], "nowhere: does not exist"),
        (["predict", "--network", "pcie-4"], "how fast is the compute?"),
        (["predict", "--network", "pcie-4", "--device", "l200"], "did you mean 'l20'"),
        (["predict", "--network", "pcie-4", "--device", "l20", "--costs", "T"], "not both"),
        (["predict", *NANO, "--network", "pcie-4", "--costs", "T"], "lack"),
        (["predict", "--network", "pcie-4", "--costs", "T", "--out", "./T"], "name another folder"),
        (["replay", "T", "--network", "pcie-4", "--out", "T/rank-5"], "name another folder"),
        (["predict", "--network", "recorded", "--device", "l20"], "unknown network 'recorded'"),
        (["predict", "--network", "pcie-4", "--device", "l20", "--model", "dit-tine"], "dit-tiny"),
        (["predict", "--network", "pcie-4", "--device", "l20", "--ranks", "7"], "7 ranks cannot"),
        (["predict", "--network", "pcie-4", "--device", "l20", "--dtype", "int8"], "dtype"),
        (["run", "--out", "T"], "use --overwrite"),
        (["run", "--out", "U", "--schedule", "rings"], "did you mean 'ring'"),
        (["run", "--out", "U", "--schedule", "distrifusion:warmup_steps=0"], "1 or more"),
        (["run", "--out", "U", "--ranks", "three"], "three"),
        (["run", "--out", "U", *NANO, "--driver", "local", "--keep", "kw"], "did you mean 'kv'"),
        (["run", "--out", "U", "--device", "cuda", "--ranks", "64"], "64 of this host's GPUs"),
        (["show", "T", "--width", "31"], "32 or more"),
        (["show", "T", "--by", "rank"], "rank"),
        (["figure", "timeline", "T", "--out", "t.bmp"], "t.bmp"),
        (["figure", "timeline", "T", "--out", "missing/t.png"], "missing"),
        (["figure", "timeline", "T", "--out", "t.png", "--first-step", "1"], "both"),
        ([*TIMELINE, "--first-step", "2", "--last-step", "1"], "the first is after the last"),
        ([*TIMELINE, "--network", "recorded", "--latency", "1ms"], "but not both"),
        ([*TIMELINE, "--network", "recordet"], "did you mean 'recorded'"),
        (["export", "T", "missing/t.json"], "missing"),
        (["compare", "T", "nowhere"], "nowhere"),
        (["profile", "T", "--out", "missing/c.json"], "missing"),
        (["list", "colours"], "colours"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_arguments_are_told_what_would_do(
    arguments: list[str], message: str, beside_t: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, one message, nothing written."""
    code, said = complaint(capsys, *arguments)
    assert code == BAD_INPUT
    assert message in " ".join(said.split())
    assert "Traceback" not in said
    assert [path.name for path in beside_t.iterdir()] == ["T"]


@pytest.mark.parametrize(
    ("file", "damage"),
    [
        ("run.json", b""),
        ("run.json", b"{"),
        ("run.json", b'{"schema": 99}'),
        ("rank-1/ops.parquet", b""),
        ("rank-1/ops.parquet", bytes(range(256)) * 20),
        ("rank-1/ops.parquet", None),
    ],
    ids=["empty", "malformed", "foreign", "zero-byte", "random", "truncated"],
)
def test_a_damaged_trace_is_refused_with_the_file_at_fault(
    file: str, damage: bytes | None, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """By every command that reads traces."""
    trace = tmp_path / "T"
    assert call(["run", *NANO, "--driver", "local", "--out", str(trace)]) == OK
    whole = (trace / file).read_bytes()
    (trace / file).write_bytes(whole[:-100] if damage is None else damage)
    for command in (["show"], ["replay", "--network", "pcie-4"], ["profile"]):
        code, said = complaint(capsys, command[0], str(trace), *command[1:])
        assert code == BAD_INPUT
        assert str(trace / file) in said.replace("\n", "")


def test_a_trace_without_one_rank_is_not_replayed_in_silence(
    recording: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The missing rank is named; showing the rest says so too."""
    (tmp_path / "rank-0").symlink_to(recording / "rank-0")
    (tmp_path / "run.json").symlink_to(recording / "run.json")
    code, said = complaint(capsys, "replay", str(tmp_path), "--network", "pcie-4")
    assert code == BAD_INPUT
    assert "rank 1: no part was recorded" in said
    code, said = complaint(capsys, "show", str(tmp_path))
    assert code == OK
    assert "incomplete: rank 1: no part was recorded" in said


@pytest.mark.slow
def test_a_failed_run_has_an_exit_code_of_its_own(tmp_path: Path) -> None:
    """A rank that is killed makes the command say so and end with 3."""
    done = _thinwire_with(tmp_path / "T", lambda ranks: ranks[1].send_signal(signal.SIGKILL))
    assert done[0] == FAILED
    assert "rank 1 was killed by signal 9" in done[1]


@pytest.mark.slow
def test_an_interrupted_run_leaves_no_process(tmp_path: Path) -> None:
    """Ctrl-C reaches the command; the ranks end with it, and what they recorded is there."""
    code, said = _thinwire_with(tmp_path / "T", lambda ranks: ranks[0].parent())
    assert (code, "interrupted" in said) == (INTERRUPTED, True)
    assert call(["show", str(tmp_path / "T")]) == OK


@pytest.mark.slow
def test_ranks_end_with_the_process_that_started_them(tmp_path: Path) -> None:
    """Also where it is killed before they have found each other."""
    command = [sys.executable, "-m", "simnet", "run", *NANO, "--out", str(tmp_path / "T")]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    ranks: list[psutil.Process] = []
    while len(ranks) < 2:
        assert process.poll() is None
        children = psutil.Process(process.pid).children()
        ranks = [child for child in children if "spawn_main" in " ".join(child.cmdline())]
    process.kill()
    process.wait()
    _, alive = psutil.wait_procs(ranks, timeout=30)
    assert alive == []


def _thinwire_with(out: Path, hurt: Any) -> tuple[int, str]:
    """Start a long live run, do something to it in the middle; exit code and stderr."""
    command = [sys.executable, "-m", "simnet", "run", *NANO[:-1], "3000", "--out", str(out)]
    process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    lines = out / "rank-0" / "ops.jsonl"
    while not lines.exists() or lines.stat().st_size < 10_000:  # steps have been recorded
        assert process.poll() is None
    parent = psutil.Process(process.pid)
    ranks = [c for c in parent.children() if "spawn_main" in " ".join(c.cmdline())]
    ranks.sort(key=psutil.Process.create_time)
    victim = hurt(ranks)
    if victim is not None:
        process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=60)
    assert not any(rank.is_running() for rank in ranks)
    return process.returncode, said
