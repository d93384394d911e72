"""Recordings that did not know beforehand how many steps there would be."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from traces.errors import TraceError
from traces.run import Run
from traces.trace import Trace

Record = Callable[..., Path]


@pytest.fixture
def open_ended(run: Run) -> Run:
    """The program's header, without a number of steps."""
    return replace(run, steps=0)


def test_the_steps_are_those_that_were_recorded(record: Record, open_ended: Run) -> None:
    """A whole trace of them, which saved says how many there are."""
    path = record(run=open_ended)
    trace = Trace.open(path)

    assert (trace.run.steps, trace.problems) == (3, ())
    trace.save(path.parent / "saved")
    assert Trace.open(path.parent / "saved").run == trace.run


def test_a_rank_with_fewer_steps_than_another_lost_some(record: Record, open_ended: Run) -> None:
    """The one with most has them all, as far as can be known."""
    trace = Trace.open(record((3, 1), run=open_ended))

    assert trace.run.steps == 3
    assert trace.problems == ("rank 1: recording ended after 1 of 3 steps",)


def test_a_recording_that_was_not_closed_may_have_gone_on(record: Record, open_ended: Run) -> None:
    """Ranks that were killed together have the same steps, and yet lack something."""
    trace = Trace.open(record((2, 2), run=open_ended, closed=False))

    assert trace.run.steps == 2
    assert trace.problems == tuple(
        f"rank {rank}: the recording was never closed; what came after its 2 steps is lost"
        for rank in range(2)
    )


def test_what_a_rank_noted_is_a_problem(record: Record, open_ended: Run) -> None:
    """On one line; an empty note is none."""
    path = record(run=open_ended)
    (path / "rank-0" / "note.txt").write_text("recording stopped:\n  the disk is full   ")
    (path / "rank-1" / "note.txt").write_text("    ")

    assert Trace.open(path).problems == ("rank 0: recording stopped: the disk is full",)


def test_older_headers_say_how_many_steps_there_are(open_ended: Run) -> None:
    """Schema 2 knows no other."""
    fields = open_ended.to_json()
    assert Run.from_json(fields, "run.json").steps == 0
    with pytest.raises(TraceError, match=r"run\.json: steps is 0, expected an integer above 0"):
        Run.from_json(fields | {"schema": 2}, "run.json")


@pytest.mark.parametrize(
    ("driver", "evidence"),
    [("captured", "measured"), ("kineto", "measured"), ("extracted", "predicted")],
)
def test_what_was_captured_is_measured(run: Run, driver: str, evidence: str) -> None:
    """And so is what others recorded; what a model would send is not."""
    assert replace(run, driver=driver).evidence == evidence
