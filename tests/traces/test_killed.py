"""A recording that was killed is read up to its last complete step, and says what is lost."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from traces.errors import TraceError
from traces.part import Recording
from traces.run import Run
from traces.store import create
from traces.trace import Trace

RECORD_FOR_EVER = """
import sys
from pathlib import Path
import torch
from traces.operation import Operation
from traces.store import PartWriter

part = PartWriter(Path(sys.argv[1]), 0)
for step in range(10**6):
    rows = range(step * 500, step * 500 + 500)
    part.step_done(
        step,
        [Operation(0, q, "compute", "compute", "f", step, 0, q, q + 1.0, cost_s=1.0) for q in rows],
        {"x/0": torch.full((1000,), float(step))},
    )
    print(step, flush=True)
"""


@pytest.mark.parametrize("announced", [1, 2, 7])
def test_a_killed_process_loses_at_most_the_step_it_was_in(
    tmp_path: Path, run: Run, announced: int
) -> None:
    """Everything of the steps it announced is there: rows, activations, and what is missing."""
    path = tmp_path / "t"
    create(path, replace(run, steps=10**6))
    command = [sys.executable, "-c", RECORD_FOR_EVER, str(path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(announced):
            process.stdout.readline()
        process.kill()

    trace = Trace.open(path)

    steps = len(trace.ops) // 500
    assert steps >= announced
    assert trace.ops["seq"].tolist() == list(range(steps * 500))
    assert trace.activations("x").shape == (1, steps, 1, 1000)
    assert trace.activations("x")[0, -1, 0, 0] == steps - 1
    assert trace.problems == (
        f"rank 0: recording ended after {steps} of 1000000 steps",
        "rank 1: no part was recorded",
    )


def test_a_file_cut_anywhere_keeps_its_complete_steps(
    record: Callable[..., Path],
) -> None:
    """Cut after each byte in turn, every step whose end is in the file is read, and no more."""
    lines = record(closed=False) / "rank-0" / "ops.jsonl"
    data = lines.read_bytes()
    header = data.index(b"\n") + 1
    for size in range(header, len(data), 3):
        lines.write_bytes(data[:size])
        part = Recording(lines, 0)

        assert part.steps == data[:size].count(b"}\n") - 1


def test_each_rank_keeps_what_it_has(record: Callable[..., Path], whole: Trace) -> None:
    """Ranks that got further are read further."""
    trace = Trace.open(record((3, 1), closed=False))

    kept = whole.ops[(whole.ops["rank"] == 0) | (whole.ops["step"] < 1)]
    pd.testing.assert_frame_equal(trace.ops, kept.reset_index(drop=True))
    assert trace.problems == ("rank 1: recording ended after 1 of 3 steps",)


def test_a_missing_rank_is_a_problem(record: Callable[..., Path]) -> None:
    """It is not taken for a run of fewer ranks."""
    assert Trace.open(record((3,))).problems == ("rank 1: no part was recorded",)


def test_a_rank_that_never_completed_a_step_is_a_problem(record: Callable[..., Path]) -> None:
    """Its recording was begun; there is nothing in it."""
    problems = Trace.open(record((3, 0), closed=False)).problems

    assert problems == ("rank 1: recording ended after 0 of 3 steps",)


def test_problems_stay_with_a_saved_trace(record: Callable[..., Path], tmp_path: Path) -> None:
    """Closing the lines of a killed run does not make it whole."""
    trace = Trace.open(record((3, 1), closed=False))
    trace.save(tmp_path / "saved")

    assert Trace.open(tmp_path / "saved").problems == trace.problems


def test_activations_of_an_unfinished_step_are_not_read(
    record: Callable[..., Path],
) -> None:
    """They are written before the step's rows, so a kill can leave them alone there."""
    import torch
    from safetensors.torch import save_file

    path = record((1, 1), closed=False)
    for step in (0, 1):
        save_file({"x/0": torch.zeros(2)}, path / "rank-0" / f"step-0000{step}.safetensors")

    assert Trace.open(path).activations("x").coords["step"].to_numpy().tolist() == [0]


def test_a_torn_line_is_only_taken_at_the_end(record: Callable[..., Path]) -> None:
    """In the middle of the file it is damage."""
    path = record(closed=False)
    lines = path / "rank-1" / "ops.jsonl"
    data = lines.read_bytes().splitlines(keepends=True)
    data[-1] = data[-1][:5] + b"\n"
    lines.write_bytes(b"".join(data))

    with pytest.raises(TraceError, match=r"ops\.jsonl: line \d+ is damaged; expected JSON"):
        Trace.open(path)
