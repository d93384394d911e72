"""The offset between two clocks, from messages there and back, and times brought together by it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest

from traces.clocks import Ping, RankClock, Reading, ahead_s
from traces.errors import TraceError
from traces.trace import Trace


def test_the_quickest_ping_decides() -> None:
    """The other clock is 10 s ahead; one answer was held up on its way back."""
    held_up = Ping(0.0, 10.5, 7.0)
    quick = Ping(20.0, 30.5, 21.0)
    assert ahead_s([held_up, quick]) == 10.0


def test_the_error_is_at_most_half_the_round_trip() -> None:
    """All of the way in one direction is the worst case."""
    there_slow, back_slow = Ping(0.0, 1.0, 1.0), Ping(0.0, 0.0, 1.0)
    assert ahead_s([there_slow]) == pytest.approx(0.5)
    assert ahead_s([back_slow]) == pytest.approx(-0.5)


READING = '{"at_s": 0, "ahead_s": 0, "error_s": 0}'


def test_drift_is_taken_to_be_steady() -> None:
    """Rank 0 gains 1 ms in 10 s, so half of that in 5 s, and spans grow alike."""
    clock = RankClock("b", Reading(0.0, 0.0, 1e-5), Reading(10.0, 1e-3, 2e-5))
    rows = pd.DataFrame({"start_s": [0.0, 5.0], "end_s": [5.0, 10.0], "cost_s": [5.0, 5.0]})

    common = clock.common(rows)

    assert common["start_s"].tolist() == pytest.approx([0.0, 5.0005])
    assert common["end_s"].tolist() == pytest.approx([5.0005, 10.001])
    assert common["cost_s"].tolist() == pytest.approx([5.0005] * 2)
    assert clock.error_s == 2e-5


def test_a_rank_on_the_common_clock_is_left_alone() -> None:
    """Not even copied."""
    rows = pd.DataFrame({"start_s": [1.0]})
    assert RankClock("a", Reading(0.0, 0.0, 0.0)).common(rows) is rows


def test_a_trace_is_opened_on_the_common_axis(record: Callable[..., Path], tmp_path: Path) -> None:
    """Saved anew it stays there, and still says how far times may be off."""
    path = record()
    before = Trace.open(path).ops
    clock = RankClock("b", Reading(0.0, 0.25, 1e-5))
    (path / "rank-1" / "clock.json").write_text(json.dumps(clock.to_json()))

    trace = Trace.open(path)

    moved = trace.ops["start_s"] - before["start_s"]
    assert moved.groupby(trace.ops["rank"]).mean().tolist() == pytest.approx([0.0, 0.25])
    trace.save(tmp_path / "saved")
    again = Trace.open(tmp_path / "saved")
    pd.testing.assert_frame_equal(again.ops, trace.ops)
    assert again.clocks[1].error_s == 1e-5


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[]", "expected an object of host, began and ended"),
        ('{"host": "b", "began": {"at_s": 0}, "ended": null}', "a reading is"),
        (
            '{"host": "b", "began": {"at_s": 0, "ahead_s": NaN, "error_s": 0}, "ended": null}',
            "NaN|nan",
        ),
        (
            f'{{"host": "b", "began": {READING}, "ended": {READING.replace("0", "1")}}}',
            "the clock drifts by 1 s a second",
        ),
        ("{", "is not JSON"),
    ],
)
def test_a_clock_that_makes_no_sense_is_damage(
    record: Callable[..., Path], text: str, message: str
) -> None:
    """The message names the file."""
    path = record()
    (path / "rank-1" / "clock.json").write_text(text)
    with pytest.raises(TraceError, match=rf"clock\.json: .*({message})"):
        _ = Trace.open(path).ops
