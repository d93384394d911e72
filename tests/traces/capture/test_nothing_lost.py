"""Killed processes, full disks: what was recorded until then can be read, and the program runs."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from traces.partial import common_steps
from traces.trace import Trace

pytestmark = pytest.mark.slow

FOR_EVER = """
model = Model()
with torch.inference_mode(), capture(model, out, activations=["k"]) as recording:
    x = torch.zeros(1, 4, 8)
    for step in range(10**6):
        dist.all_reduce(x)
        x = model(x, torch.tensor(float(step)))
        print(recording.steps, flush=True)
"""


@pytest.mark.parametrize("seed", [1, 2])
def test_a_killed_program_leaves_all_completed_steps(
    start: Callable[..., list[subprocess.Popen[str]]], tmp_path: Path, seed: int
) -> None:
    """Both ranks are killed at a random moment; every step that was announced is there."""
    lines = random.Random(seed).randrange(3, 40)  # noqa: S311 - the same each time
    processes = start(FOR_EVER)
    announced = []
    for process in processes:
        assert process.stdout is not None
        told = [process.stdout.readline() for _ in range(lines)]
        announced.append(int(told[-1]))
    for process in processes:
        process.kill()
    for process in processes:
        process.communicate()

    trace = Trace.open(tmp_path / "T")

    steps = trace.ops.groupby("rank")["step"].max() + 1
    assert (steps.to_numpy() >= announced).all()
    assert any("the recording was never closed" in line for line in trace.problems)
    whole = common_steps(trace)
    assert whole.run.steps >= min(announced)
    assert set(whole.ops.groupby("step")["rank"].nunique()) == {2}


def test_a_rank_that_dies_leaves_the_others_usable(
    run_ranks: Callable[..., list[str]], tmp_path: Path
) -> None:
    """It is reported, with the steps that it had."""
    run_ranks("""
model = Model()
with torch.inference_mode(), capture(model, out):
    for step in range(5):
        model(torch.zeros(1, 4, 8), torch.tensor(float(step)))
        if rank == 1 and step == 3:
            os._exit(0)
""")
    trace = Trace.open(tmp_path / "T")

    assert trace.problems == ("rank 1: recording ended after 3 of 5 steps",)
    assert common_steps(trace).run.steps == 3


FULL = """
import resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # as a full disk: an error, no signal
model = Model()
with torch.inference_mode(), capture(model, sys.argv[1]) as recording:
    for step in range(30):
        if step == 10:
            size = (recording.path / "rank-0" / "ops.jsonl").stat().st_size
            resource.setrlimit(resource.RLIMIT_FSIZE, (size + 3000, size + 3000))
        model(torch.zeros(1, 4, 8), torch.tensor(float(step)))
print("done")
"""


def test_a_full_disk_stops_the_recording_and_not_the_program(tmp_path: Path, prelude: str) -> None:
    """One warning; the trace holds what was before, and says what happened."""
    done = subprocess.run(
        [sys.executable, "-c", prelude + FULL, str(tmp_path / "T")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout == "done\n"
    warning, where = done.stderr.splitlines()
    assert warning.startswith("thinwire: recording stopped; the program goes on.")
    assert "ops.jsonl: cannot be written: File too large" in warning
    assert where.endswith(f"steps before are in {tmp_path / 'T'}")
    trace = Trace.open(tmp_path / "T")
    assert 9 <= trace.run.steps < 15
    unclosed, note = trace.problems
    assert "the recording was never closed" in unclosed
    assert note.startswith(f"rank 0: recording stopped after {trace.run.steps} steps: ")


@pytest.fixture
def small_disk(tmp_path: Path) -> Path:
    """A file system with room for 128 KiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=128k", "tmpfs", str(folder)]
    if subprocess.run(mount, capture_output=True, check=False).returncode:
        pytest.skip("needs root, to mount a small file system")
    return folder


def test_a_disk_that_is_really_full(small_disk: Path, prelude: str) -> None:
    """Also then the note has room, as its place was taken at the beginning."""
    script = """
model = Model()
with torch.inference_mode(), capture(model, sys.argv[1]):
    for step in range(150):
        model(torch.zeros(1, 4, 8), torch.tensor(float(step)))
print("done")
"""
    try:
        done = subprocess.run(
            [sys.executable, "-c", prelude + script, str(small_disk / "T")],
            capture_output=True,
            text=True,
            check=True,
        )
        trace = Trace.open(small_disk / "T")
        steps, problems = trace.run.steps, trace.problems
    finally:
        subprocess.run(["umount", str(small_disk)], check=True)
    assert done.stdout == "done\n"
    assert done.stderr.count("recording stopped") == 1
    assert 1 < steps < 150
    assert any("No space left on device" in line for line in problems)
