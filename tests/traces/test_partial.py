"""The steps that all ranks completed are a trace of their own, which can be replayed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from traces.errors import TraceError
from traces.operation import Operation, table
from traces.partial import common_steps
from traces.run import Run
from traces.trace import Trace


def test_a_whole_trace_is_left_as_it_is(whole: Trace) -> None:
    """Nothing is beyond its last step."""
    cut = common_steps(whole)

    pd.testing.assert_frame_equal(cut.ops, whole.ops)
    assert (cut.run, cut.problems) == (whole.run, ())


@pytest.mark.parametrize("steps", [(3, 2), (1, 3)])
def test_all_ranks_are_cut_to_the_least(
    record: Callable[..., Path], whole: Trace, steps: tuple[int, int]
) -> None:
    """What comes before the first step stays; activations and header follow."""
    cut = common_steps(Trace.open(record(steps, closed=False)))

    kept = whole.ops[whole.ops["step"] < min(steps)].reset_index(drop=True)
    pd.testing.assert_frame_equal(cut.ops, kept)
    assert cut.run == replace(whole.run, steps=min(steps))
    assert cut.problems == ()


def test_a_cut_trace_is_saved_as_a_whole_one(record: Callable[..., Path], tmp_path: Path) -> None:
    """Without the problems that were cut away."""
    cut = common_steps(Trace.open(record((3, 2), closed=False)))
    cut.save(tmp_path / "cut")

    assert Trace.open(tmp_path / "cut").problems == ()


def test_a_cut_trace_keeps_the_activations_of_its_steps(
    record: Callable[..., Path],
) -> None:
    """And of no others."""
    import torch
    from safetensors.torch import save_file

    path = record((3, 2), closed=False)
    for step in range(3):
        save_file({"x/0": torch.zeros(2)}, path / "rank-0" / f"step-0000{step}.safetensors")

    cut = common_steps(Trace.open(path))

    assert cut.activations("x").coords["step"].to_numpy().tolist() == [0, 1]


def test_a_transfer_never_seen_to_end_stays(run: Run, whole: Trace) -> None:
    """Both ranks asked for it, so a replay can find its end; the cut trace says so."""
    ops = whole.ops.copy()
    ops.loc[(ops["kind"] == "shift") & (ops["step"] == 1), "end_s"] = math.nan

    cut = common_steps(Trace(run, ops[ops["step"] < 2]))

    assert cut.ops["end_s"].isna().sum() == 2
    assert cut.problems == tuple(f"rank {r}: 1 transfer was never seen to end" for r in (0, 1))


def row(rank: int, seq: int, kind: str, step: int, **rest: Any) -> Operation:
    """An operation of no length."""
    on_rank = kind in ("compute", "wait")
    stream, group = ("compute", "") if on_rank else ("world", "0,1")
    peers: dict[str, Any] = {"send": {"dst": 1 - rank}, "recv": {"src": 1 - rank}}.get(kind, {})
    return Operation(rank, seq, stream, kind, "x", step, 0, 0.0, 0.0, group=group, **(peers | rest))


def test_a_transfer_whose_peer_is_cut_away_goes_with_its_waits(run: Run) -> None:
    """Rank 1 receives in step 0 what rank 0 sends in step 0 and, for the last, in step 1."""
    sender = [
        row(0, 0, "send", 0),
        row(0, 1, "compute", 0),
        row(0, 2, "send", 1),
    ]
    receiver = [
        row(1, 0, "recv", 0),
        row(1, 1, "recv", 0),
        row(1, 2, "wait", 0, waits_for=1),
        row(1, 3, "wait", 0, waits_for=0),
        row(1, 4, "compute", 0),
    ]

    cut = common_steps(Trace(run, table([*sender, *receiver])))

    expected = [
        row(0, 0, "send", 0),
        row(0, 1, "compute", 0),
        row(1, 0, "recv", 0),
        row(1, 1, "wait", 0, waits_for=0),
        row(1, 2, "compute", 0),
    ]
    pd.testing.assert_frame_equal(cut.ops, table(expected))
    assert cut.problems == ("rank 1: left out 2 rows of transfers that go beyond step 0",)


@pytest.mark.parametrize("kind", ["all_gather", "all_reduce", "all_to_all"])
def test_a_collective_that_one_rank_did_not_join_goes(run: Run, kind: str) -> None:
    """The one before it stays."""
    rows = [row(0, 0, kind, 0), row(0, 1, kind, 0), row(1, 0, kind, 0), row(1, 1, kind, 1)]

    cut = common_steps(Trace(run, table(rows)))

    pd.testing.assert_frame_equal(cut.ops, table([rows[0], rows[2]]))


def test_a_shift_left_out_takes_the_next_with_it(run: Run) -> None:
    """Around a ring of three, one rank's missing shift leaves the other two alone."""
    ring = [
        Operation(r, 0, "world", "shift", "x", 0, 0, 0.0, 0.0, group="0,1,2", dst=(r + 1) % 3,
                  src=(r - 1) % 3)
        for r in (0, 1)
    ]  # fmt: skip
    rows = [*ring, *(replace(row(r, 1, "compute", 0), rank=r, seq=int(r < 2)) for r in range(3))]

    cut = common_steps(Trace(replace(run, ranks=3), table(rows)))

    assert cut.ops["kind"].tolist() == ["compute"] * 3
    assert cut.ops["seq"].tolist() == [0, 0, 0]


def test_a_missing_rank_cannot_be_cut_around(record: Callable[..., Path]) -> None:
    """Its part of every transfer is gone."""
    with pytest.raises(TraceError, match="nothing was recorded of rank 1"):
        common_steps(Trace.open(record((3,))))


def test_no_step_in_common_is_an_error(run: Run, whole: Trace) -> None:
    """One rank did not get beyond its preparations."""
    ops = whole.ops[(whole.ops["rank"] == 0) | (whole.ops["step"] < 0)]

    with pytest.raises(TraceError, match="rank 1 completed no step"):
        common_steps(Trace(run, ops))
