"""Lanes of a timeline: every operation is there, or in a bar that says how many it stands for."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from figures.page.lanes import MOST_RANKS, MOST_ROWS, WHAT, lanes, shares
from traces.errors import TraceError
from traces.operation import Operation, table
from traces.run import Run
from traces.trace import Trace

Toy = Callable[..., Trace]


def of_one_rank(*rows: Operation) -> Trace:
    """A run of one rank and step."""
    return Trace(Run("tiny", "x", 1, 1, "simulated", "toy", "wire"), table(rows))


def bars(packed: dict[str, Any], lane: int) -> list[dict[str, Any]]:
    """What a page's script makes of a lane: times in seconds again."""
    of, tick_s = packed["lanes"][lane], packed["tick_s"]
    starts = itertools.accumulate(of["start"])
    return [
        dict(zip(WHAT, packed["whats"][what], strict=True))
        | {"start_s": start * tick_s, "length_s": length * tick_s, "step": step}
        for start, length, what, step in zip(
            starts, of["length"], of["what"], of["step"], strict=True
        )
    ]


def test_there_is_a_lane_for_each_rank_and_stream_and_a_bar_for_each_operation(toy: Toy) -> None:
    """Computing first; times, bytes, steps and layers are those of the trace."""
    packed = lanes(toy())

    assert [(lane["rank"], lane["stream"]) for lane in packed["lanes"]] == [
        *((0, "compute"), (0, "world"), (1, "compute"), (1, "world"))
    ]
    compute, network = bars(packed, 0), bars(packed, 1)
    assert len(compute) == 3 * 2 * 3
    assert [bar["kind"] for bar in compute[:3]] == ["compute", "wait", "compute"]
    assert [bar["start_s"] for bar in compute[:4]] == pytest.approx([0.0, 2.0, 3.0, 5.0])
    assert [bar["length_s"] for bar in compute[:3]] == pytest.approx([2.0, 1.0, 2.0])
    assert network[3] == {
        "kind": "all_gather",
        "name": "kv",
        "layer": 1,
        "bytes": 4096,
        "wire_bytes": 8192,
        "ended": True,
        "count": 1,
        "busy": 0,
        "start_s": pytest.approx(15.0),
        "length_s": pytest.approx(3.0),
        "step": 1,
    }
    assert packed["note"] == ""
    assert packed["until"] * packed["tick_s"] == pytest.approx(30.0)


def test_it_says_when_each_step_begins(toy: Toy) -> None:
    """Ten seconds each."""
    packed = lanes(toy())

    begins = [(step, ticks * packed["tick_s"]) for step, ticks in packed["steps"]]
    assert begins == [(0, 0.0), (1, pytest.approx(10.0)), (2, pytest.approx(20.0))]


def test_transfers_that_overlap_are_on_different_rows() -> None:
    """As few as will do, and no more than there are."""
    times = [(0.0, 4.0), (1.0, 2.0), (3.0, 5.0), (4.0, 6.0)]
    few = of_one_rank(
        Operation(0, 0, "compute", "compute", "x", 0, 0, 0.0, 1.0),
        *(
            Operation(0, seq, "w", "all_gather", "kv", 0, 0, *at)
            for seq, at in enumerate(times, start=1)
        ),
    )
    many = of_one_rank(
        Operation(0, 0, "compute", "compute", "x", 0, 0, 0.0, 1.0),
        *(
            Operation(0, seq, "w", "all_gather", "kv", 0, 0, float(seq), 99.0)
            for seq in range(1, MOST_ROWS + 4)
        ),
    )

    assert lanes(few)["lanes"][1]["row"] == [0, 1, 1, 0]
    assert lanes(few)["lanes"][1]["rows"] == 2
    assert lanes(few)["lanes"][0]["row"] == []
    assert max(lanes(many)["lanes"][1]["row"]) == MOST_ROWS - 1


def test_a_transfer_that_was_never_seen_to_end_lasts_and_says_so() -> None:
    """Until the last that is known of the run."""
    packed = lanes(
        of_one_rank(
            Operation(0, 0, "w", "all_gather", "kv", 0, 0, 1.0, math.nan),
            Operation(0, 1, "compute", "compute", "x", 0, 0, 1.0, 7.0),
        )
    )

    [bar] = bars(packed, 1)
    assert not bar["ended"]
    assert bar["length_s"] == pytest.approx(6.0)


def test_too_many_operations_are_put_together_and_nothing_is_lost(toy: Toy) -> None:
    """Of each lane and kind, counts, seconds and bytes stay; the note says what was done."""
    trace = toy(steps=50, layers=20)
    packed = lanes(trace, most=500)
    found = [bar for lane in range(4) for bar in bars(packed, lane)]

    assert 100 < len(found) <= 500
    assert sum(bar["count"] for bar in found) == len(trace.ops) == 8000
    for kind, rows in trace.ops.groupby("kind"):
        of_kind = [bar for bar in found if bar["kind"] == kind]
        busy_s = sum(
            bar["busy"] * packed["tick_s"] if bar["count"] > 1 else bar["length_s"]
            for bar in of_kind
        )
        assert busy_s == pytest.approx((rows["end_s"] - rows["start_s"]).sum())
        assert sum(bar["wire_bytes"] for bar in of_kind) == rows["wire_bytes"].sum()
    assert packed["note"].startswith(f"8,000 operations are drawn as {len(found)} bars")


def test_a_long_operation_stays_by_itself_among_many_short_ones() -> None:
    """What is put together is what could not be told apart."""
    short = [
        Operation(0, seq, "compute", "compute", "x", 0, 0, seq * 1e-3, seq * 1e-3 + 1e-4)
        for seq in range(1000)
    ]
    long = Operation(0, 1000, "compute", "compute", "long", 0, 3, 1.0, 9.0)
    found = bars(lanes(of_one_rank(*short, long), most=50), 0)

    assert len(found) <= 50
    [alone] = [bar for bar in found if bar["name"] == "long"]
    assert (alone["count"], alone["length_s"], alone["layer"]) == (1, pytest.approx(8.0), 3)


def test_bars_of_different_operations_have_no_name_and_layer(toy: Toy) -> None:
    """Rather than those of one of them."""
    found = bars(lanes(toy(steps=50, layers=20), most=40), 0)

    together = [bar for bar in found if bar["count"] > 1 and bar["kind"] == "compute"]
    assert {(bar["name"], bar["layer"]) for bar in together} == {("", -1)}


def test_of_very_many_ranks_the_first_are_drawn(toy: Toy) -> None:
    """And the note says so."""
    packed = lanes(toy(ranks=MOST_RANKS + 1, steps=1, layers=1))

    assert {lane["rank"] for lane in packed["lanes"]} == set(range(MOST_RANKS))
    assert packed["note"] == f"Only the first {MOST_RANKS} of {MOST_RANKS + 1} ranks are drawn."


@pytest.mark.parametrize("length_s", [1e-9, 1.0, 1e9])
def test_times_are_whole_numbers_that_a_script_can_count_with(length_s: float) -> None:
    """Whether runs take nanoseconds or years."""
    one = of_one_rank(Operation(0, 0, "compute", "compute", "x", 0, 0, 0.0, length_s))
    packed = lanes(one)

    assert 1e9 <= packed["until"] < 2**53
    assert packed["until"] * packed["tick_s"] == pytest.approx(length_s)


def test_a_trace_in_which_nothing_took_time_is_refused(toy: Toy) -> None:
    """There is no axis for it."""
    trace = toy(steps=1)
    still = Trace(replace(trace.run), trace.ops.assign(start_s=0.0, end_s=0.0))
    with pytest.raises(TraceError, match="nothing in this trace took any time"):
        lanes(still)


@pytest.mark.parametrize(
    ("sizes", "most", "given"),
    [
        ([10, 10], 100, [10, 10]),
        ([1000, 20], 100, [80, 20]),
        ([1000, 20, 900], 100, [40, 20, 40]),
    ],
)
def test_what_one_trace_does_not_need_others_get(
    sizes: list[int], most: int, given: list[int]
) -> None:
    """And together they are no more than there is room for."""
    assert shares(sizes, most) == given
