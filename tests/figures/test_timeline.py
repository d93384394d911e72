"""Timelines: what is drawn is what happened, and slivers lose nothing but their place."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from traces.run import Run

from figures import style, timeline
from traces.errors import InputError
from traces.operation import Operation, table
from traces.trace import Trace

RUN = Run("tiny", "gather", ranks=1, steps=1, driver="simulated", device="toy", network="wire")


def blocks(
    ranks: int = 2, steps: int = 3, layers: int = 2, work_s: float = 2.0, gather_s: float = 3.0
) -> Trace:
    """Every layer asks for a gather, computes, waits for the rest of it, computes again."""
    rows: list[Operation] = []
    for rank in range(ranks):
        now_s, seq = 0.0, 0
        for step in range(steps):
            for layer in range(layers):
                at = (step, layer)
                got_s, done_s = now_s + gather_s, now_s + work_s
                rows += [
                    Operation(rank, seq, "world", "all_gather", "kv", *at, now_s, got_s),
                    Operation(rank, seq + 1, "compute", "compute", "qkv", *at, now_s, done_s),
                    Operation(rank, seq + 2, "compute", "wait", "kv", *at, done_s, got_s),
                    Operation(
                        rank, seq + 3, "compute", "compute", "attend", *at, got_s, got_s + work_s
                    ),
                ]
                rows[-2].waits_for = seq
                now_s, seq = got_s + work_s, seq + 4
    return Trace(replace(RUN, ranks=ranks, steps=steps), table(rows))


def bars(trace: Trace, steps: range | None = None) -> list[tuple[str, str, float, float]]:
    """What is drawn of the first rank: (stream, activity, start_s, end_s)."""
    columns = ["stream", "activity", "start_s", "end_s"]
    return list(timeline.table(trace, steps)[columns].itertuples(index=False, name=None))


def test_every_activity_has_its_bars() -> None:
    """Compute, wait and host on the compute row; the network's row is hidden, then exposed."""
    trace = Trace(
        RUN,
        table(
            (
                Operation(0, 0, "world", "all_gather", "kv", 0, 0, 1.0, 5.0, host_s=1.0),
                Operation(0, 1, "compute", "compute", "qkv", 0, 0, 1.0, 3.0),
                Operation(0, 2, "compute", "wait", "kv", 0, 0, 3.0, 5.0, waits_for=0),
                Operation(0, 3, "compute", "compute", "attend", 0, 0, 5.0, 6.0),
                Operation(0, 4, "compute", "compute", "finish", 0, 0, 8.0, 9.0, host_s=2.0),
                Operation(0, 5, "world", "all_gather", "kv", 0, 0, 9.0, math.nan),
            )
        ),
    )

    assert bars(trace) == [
        ("compute", "compute", 1.0, 3.0),
        ("compute", "exposed", 3.0, 5.0),
        ("compute", "compute", 5.0, 6.0),
        ("compute", "host", 6.0, 8.0),
        ("compute", "compute", 8.0, 9.0),
        ("network", "hidden", 1.0, 3.0),
        ("network", "exposed", 3.0, 5.0),
    ]


def test_rows_that_touch_become_one_bar() -> None:
    """The computing before and after a step's boundary is one bar."""
    compute = [bar for bar in bars(blocks(ranks=1)) if bar[:2] == ("compute", "compute")]

    assert compute[1] == ("compute", "compute", 3.0, 7.0)


@pytest.mark.parametrize(
    ("steps", "first_s", "last_s"), [(4, 0.0, 40.0), (5, 20.0, 40.0), (8, 40.0, 60.0)]
)
def test_of_a_long_run_two_steps_in_the_middle_are_drawn(
    steps: int, first_s: float, last_s: float
) -> None:
    """A run of four steps or fewer is drawn whole; ten seconds a step."""
    drawn = timeline.table(blocks(steps=steps))

    assert (drawn["start_s"].min(), drawn["end_s"].max()) == (first_s, last_s)


def test_the_steps_to_draw_can_be_chosen() -> None:
    """From the start of the first to the end of the last."""
    drawn = timeline.table(blocks(steps=8), range(1, 2))

    assert (drawn["start_s"].min(), drawn["end_s"].max()) == (10.0, 20.0)


def test_slivers_are_put_together_and_every_activity_keeps_its_total() -> None:
    """Thousands of bars too short to see become few; seconds per activity stay what they were."""
    drawn = timeline.table(blocks(ranks=1, steps=1, layers=5000))
    length_s = (drawn["end_s"] - drawn["start_s"]).groupby([drawn["stream"], drawn["activity"]])

    assert len(drawn) < 2000
    pd.testing.assert_series_equal(
        length_s.sum(),
        pd.Series(
            {
                ("compute", "compute"): 20000.0,
                ("compute", "exposed"): 5000.0,
                ("network", "exposed"): 5000.0,
                ("network", "hidden"): 10000.0,
            }
        ),
        check_names=False,
    )


def test_steps_that_never_ran_are_refused() -> None:
    """The message says how many there are."""
    with pytest.raises(InputError, match="steps 7 to 8: the run has 3 steps"):
        timeline.table(blocks(), range(7, 9))


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_the_same_traces_are_drawn_to_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    """From trace to file nothing depends on chance."""
    for name in ("first", "second"):
        fig = timeline.draw([blocks(), blocks(gather_s=2.5)], ["slow", "fast"])
        style.save(fig, tmp_path / f"{name}{suffix}")

    assert (tmp_path / f"first{suffix}").read_bytes() == (tmp_path / f"second{suffix}").read_bytes()


def test_a_panel_says_what_it_shows_and_hatches_what_was_not_measured() -> None:
    """Schedule, network, total, evidence and window are in the titles; only predictions hatch."""
    predicted = blocks(ranks=9, steps=8)
    measured = Trace(replace(predicted.run, driver="distributed"), predicted.ops)
    fig = timeline.draw([measured, predicted], ["run", "model"])
    top, bottom = fig.axes

    assert top.get_title(loc="left") == "run: gather on wire, 80.0 s in all (measured)"
    assert bottom.get_title(loc="left") == "model: gather on wire, 80.0 s in all (predicted)"
    assert bottom.get_title(loc="right") == "steps 4-5 of 8, ranks 0-7 of 9"
    hatches = [{bars.get_hatch() for bars in ax.collections[:4]} for ax in fig.axes]
    assert hatches == [{""}, {style.MARKS["predicted"].hatch}]
