"""Which of a few runs of the lab counts, on a machine that also does other things."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from simnet.drivers.local import run_local
from simnet.job import Job
from simnet.lab.order import RUN, Workload
from simnet.lab.precedence import kernel_threads, prompt_kernel
from simnet.lab.undisturbed import disturbed_s, middle, undisturbed
from simnet.schedules.named import schedule
from traces.operation import Operation, table
from traces.summary import summarize
from traces.trace import Trace

WORKLOAD = Workload("ring", "dit-nano", 2, 1)


class Runs:
    """Carries orders out in this process, and reports that computes were late by so much."""

    def __init__(self, *late_s: float) -> None:
        self.late_s = list(late_s)
        self.totals_s: list[float] = []

    def __call__(self, order: dict[str, Any]) -> Sequence[dict[str, float]]:
        """See simnet.lab.undisturbed.Ask."""
        told = order[RUN]
        job = Job(told["model"], told["ranks"], told["steps"])
        trace = run_local(schedule(told["schedule"]), job, Path(told["path"]), overwrite=True)
        self.totals_s.append(summarize(trace).total_s)
        return [{"late_s": 0.0}, {"late_s": self.late_s[len(self.totals_s) - 1]}]


@pytest.mark.parametrize(
    ("late_s", "runs", "counts"),
    [((0.0,), 1, 0), ((9.0, 0.0), 2, 1), ((9.0, 5.0, 7.0), 3, 1)],
    ids=["in peace", "the second in peace", "never"],
)
def test_a_run_that_was_disturbed_is_repeated(
    tmp_path: Path, late_s: tuple[float, ...], runs: int, counts: int
) -> None:
    """Three times at most; the one that was disturbed least is kept, and alone."""
    ask = Runs(*late_s)
    lost_s = undisturbed(ask, WORKLOAD, tmp_path / "t", None)

    assert len(ask.totals_s) == runs
    assert lost_s == pytest.approx(late_s[counts], abs=0.5)
    assert summarize(Trace.open(tmp_path / "t")).total_s == ask.totals_s[counts]
    assert [path.name for path in tmp_path.iterdir()] == ["t"]


def test_of_three_runs_the_middle_one_counts(tmp_path: Path) -> None:
    """By how long they took."""
    ask = Runs(0.0, 0.0, 0.0)
    middle(ask, WORKLOAD, tmp_path / "t")

    assert summarize(Trace.open(tmp_path / "t")).total_s == sorted(ask.totals_s)[1]
    assert [path.name for path in tmp_path.iterdir()] == ["t"]


def test_long_gaps_and_late_wakings_tell_of_other_work() -> None:
    """Of the rank that has most of them; short ones are its own doing, and a transfer is none."""
    rows = [
        _row(0, 0, "compute", 0.0, 1.0, host_s=0.001),
        _row(0, 1, "shift", 1.0, 5.0, host_s=0.0),
        _row(0, 2, "wait", 1.0, 5.25, waits_for=1),
        _row(1, 0, "compute", 0.125, 1.0, host_s=0.125),
    ]
    assert disturbed_s([], table(rows)) == pytest.approx(0.25)
    assert disturbed_s([{"late_s": 0.5}, {}], table(rows)) == pytest.approx(0.75)
    assert disturbed_s([], table(rows[:1])) == 0.0


def test_the_kernel_is_as_it_was_when_a_lab_is_over() -> None:
    """Where this user may change it at all."""
    import os

    def policies() -> list[int]:
        return [os.sched_getscheduler(thread) for thread in kernel_threads()]

    before = policies()
    with prompt_kernel():
        assert len(policies()) == len(before)
    assert policies() == before


def _row(rank: int, seq: int, kind: str, start_s: float, end_s: float, **other: Any) -> Operation:
    stream = "compute" if kind in ("compute", "wait") else "world"
    return Operation(rank, seq, stream, kind, "x", 0, 0, start_s, end_s, **other)
