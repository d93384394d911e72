"""Timelines: what is drawn is what happened, and slivers lose nothing but their place."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.collections import PolyCollection
from matplotlib.colors import to_hex
from matplotlib.figure import Figure

from figures import style, timeline
from traces.errors import InputError
from traces.operation import Operation, table
from traces.run import Run
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


def draw(**traces: Trace) -> Figure:
    """The figure of these, under each other."""
    return timeline.draw(timeline.tables(traces))


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


def test_of_a_killed_run_the_steps_of_all_ranks_are_drawn() -> None:
    """Its header says that there were to be more; ten seconds a step."""
    ops = blocks(steps=12).ops
    recorded = (ops["step"] < 3) | ((ops["step"] == 3) & (ops["rank"] == 0))
    killed = Trace(replace(RUN, ranks=2, steps=12), ops[recorded].reset_index(drop=True))
    drawn = timeline.table(killed)

    assert (drawn["start_s"].min(), drawn["end_s"].max()) == (0.0, 30.0)
    title = draw(T=killed).axes[0].get_title(loc="right")
    assert title == "steps 0-2 of 12"


def test_steps_that_never_ran_are_refused() -> None:
    """The message says how many there are."""
    with pytest.raises(InputError, match="steps 7 to 8: the run has 3 steps"):
        timeline.table(blocks(), range(7, 9))


@pytest.mark.parametrize("steps", [range(2, 1), range(2, 2)])
def test_steps_that_end_before_they_begin_are_refused(steps: range) -> None:
    """Rather than taken for no choice at all."""
    with pytest.raises(InputError, match=r"steps 2 to \d: the first is after the last"):
        timeline.table(blocks(), steps)


@pytest.mark.parametrize("order", [1, -1])
def test_the_axis_ends_with_the_last_bar_of_the_longest_panel(order: int) -> None:
    """Wherever that panel is: none is cut off."""
    lengths_s = [3.0, 8.0, 1.0][::order]
    fig = draw(**{name: blocks(gather_s=s) for name, s in zip("abc", lengths_s, strict=True)})
    ends_s = [
        path.get_extents().x1 for ax in fig.axes for bars in _bars(ax) for path in bars.get_paths()
    ]

    assert {ax.get_xlim() for ax in fig.axes} == {(0.0, max(ends_s))}
    assert max(ends_s) == pytest.approx(3 * 2 * (8.0 + 2.0))


@pytest.mark.parametrize("suffix", [".png", ".svg"])
def test_the_same_traces_are_drawn_to_the_same_bytes(tmp_path: Path, suffix: str) -> None:
    """From trace to file nothing depends on chance."""
    for name in ("first", "second"):
        fig = draw(slow=blocks(), fast=blocks(gather_s=2.5))
        style.save(fig, tmp_path / f"{name}{suffix}")

    assert (tmp_path / f"first{suffix}").read_bytes() == (tmp_path / f"second{suffix}").read_bytes()


def test_a_panel_says_what_it_shows_and_hatches_what_was_not_measured() -> None:
    """Schedule, network, total, evidence and window are in the titles; only predictions hatch."""
    predicted = blocks(ranks=9, steps=8)
    measured = Trace(replace(predicted.run, driver="distributed"), predicted.ops)
    fig = draw(run=measured, model=predicted)
    top, bottom = fig.axes

    assert top.get_title(loc="left") == "run: gather on wire, 80.0 s in all (measured)"
    assert bottom.get_title(loc="left") == "model: gather on wire, 80.0 s in all (predicted)"
    assert bottom.get_title(loc="right") == "steps 4-5 of 8, ranks 0-7 of 9"
    hatches = [{bars.get_hatch() for bars in _bars(ax)} for ax in fig.axes]
    assert hatches == [{""}, {style.MARKS["predicted"].hatch}]


def test_slivers_are_not_hatched() -> None:
    """They would not be seen; what is longer, or longest, says that nothing was measured."""
    hatch = style.MARKS["predicted"].hatch
    slow = _bars(draw(T=blocks(work_s=0.01, gather_s=5.0)).axes[0])
    crowded = _bars(draw(T=blocks(steps=2, layers=100)).axes[0])
    hatches = {(to_hex(np.asarray(bars.get_facecolor())[0]), bars.get_hatch()) for bars in slow}

    assert (style.ACTIVITIES["compute"], "") in hatches
    assert (style.ACTIVITIES["compute"], hatch) not in hatches
    assert (style.ACTIVITIES["exposed"], hatch) in hatches
    assert hatch in {bars.get_hatch() for bars in crowded}


def _bars(ax: Axes) -> list[PolyCollection]:
    """The bars that there are, of any kind."""
    return [c for c in ax.collections if isinstance(c, PolyCollection) and c.get_paths()]
