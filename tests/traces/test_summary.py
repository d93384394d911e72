"""Summaries of tiny traces whose sums can be done in the head."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest

from traces.errors import TraceError
from traces.operation import Operation, table
from traces.run import Run
from traces.summary import RankSummary, Summary, summarize
from traces.trace import Trace

RUN = Run("tiny", "ring", ranks=2, steps=1, driver="simulated", device="toy", network="wire")


def compute(rank: int, seq: int, start_s: float, end_s: float, **rest: Any) -> Operation:
    """A computation in layer 0 of step 0."""
    return Operation(rank, seq, "compute", "compute", "block", 0, 0, start_s, end_s, **rest)


def wait(rank: int, seq: int, start_s: float, end_s: float, **rest: Any) -> Operation:
    """A wait there."""
    return Operation(rank, seq, "compute", "wait", "kv", 0, 0, start_s, end_s, **rest)


def gather(rank: int, seq: int, start_s: float, end_s: float, **rest: Any) -> Operation:
    """A transfer there."""
    return Operation(rank, seq, "world", "all_gather", "kv", 0, 0, start_s, end_s, **rest)


def summary(*operations: Operation) -> Summary:
    """The summary of a trace of these operations."""
    return summarize(Trace(RUN, table(operations)))


def test_a_ranks_time_is_compute_and_exposed_waits_and_host_gaps() -> None:
    """The three parts add up to the total, and hidden is the transfer less the wait."""
    result = summary(
        gather(0, 0, 1.0, 7.0, host_s=1.0, bytes=10, wire_bytes=30),
        compute(0, 1, 1.0, 3.0),
        wait(0, 2, 4.0, 7.0, host_s=1.0, waits_for=0),
        compute(0, 3, 7.0, 8.0),
    )

    assert result.ranks == (
        RankSummary(
            rank=0,
            total_s=8.0,
            compute_s=3.0,
            exposed_s=3.0,
            host_s=2.0,
            hidden_s=3.0,
            bytes=10,
            wire_bytes=30,
        ),
    )


def test_transfers_at_the_same_time_are_hidden_once() -> None:
    """Hidden time is the length of a union, not a sum of lengths."""
    result = summary(
        gather(0, 0, 0.0, 4.0),
        gather(0, 1, 1.0, 2.0),
        gather(0, 2, 3.0, 6.0),
        compute(0, 3, 0.0, 10.0),
        gather(0, 4, 8.0, 9.0),
    )

    assert result.hidden_s == 7.0


def test_what_ends_after_the_last_compute_is_not_hidden_and_not_part_of_the_total() -> None:
    """A transfer that nobody reads neither lengthens the run nor hides behind anything."""
    result = summary(compute(0, 0, 0.0, 2.0), gather(0, 1, 1.0, 9.0), gather(0, 2, 3.0, 4.0))

    assert (result.total_s, result.hidden_s) == (2.0, 1.0)


def test_a_fully_exposed_transfer_hides_exactly_nothing() -> None:
    """No rounding is left over when a rank waits from beginning to end."""
    result = summary(
        compute(0, 0, 0.0, 0.1), gather(0, 1, 0.1, 0.1 + 0.2), wait(0, 2, 0.1, 0.1 + 0.2)
    )

    assert result.hidden_s == 0.0


def test_a_transfer_that_was_never_seen_to_end_is_not_hidden() -> None:
    """NaN ends are left out instead of spreading into the sums; its bytes were contributed."""
    result = summary(gather(0, 0, 0.0, math.nan, bytes=5, wire_bytes=5), compute(0, 1, 0.0, 1.0))

    assert (result.total_s, result.hidden_s, result.bytes) == (1.0, 0.0, 5)


def test_a_host_gap_after_the_last_compute_does_not_count() -> None:
    """A gap before a closing transfer lies outside the rank's total."""
    result = summary(compute(0, 0, 0.0, 1.0), gather(0, 1, 3.0, 4.0, host_s=2.0))

    assert (result.total_s, result.host_s) == (1.0, 0.0)


def test_the_run_is_the_rank_that_finishes_last_and_everybodys_bytes() -> None:
    """Times are of one rank, so that they still add up; bytes are sums."""
    result = summary(
        compute(0, 0, 0.0, 2.0),
        gather(0, 1, 0.0, 2.0, bytes=1, wire_bytes=3),
        gather(1, 0, 0.0, 2.0, bytes=1, wire_bytes=3),
        compute(1, 1, 0.0, 1.0),
        wait(1, 2, 1.0, 3.0),
    )

    assert (result.total_s, result.compute_s, result.exposed_s) == (3.0, 1.0, 2.0)
    assert (result.bytes, result.wire_bytes) == (2, 6)


def test_of_ranks_that_finish_together_the_lowest_stands_for_the_run() -> None:
    """Ties do not depend on anything but the rank's number."""
    result = summary(
        compute(0, 0, 0.0, 2.0), wait(0, 1, 2.0, 3.0), compute(1, 0, 0.0, 1.0), wait(1, 1, 1.0, 3.0)
    )

    assert result.compute_s == 2.0


def test_the_json_has_plain_types_under_the_promised_names() -> None:
    """It survives a round trip through JSON unchanged, and says what the numbers are worth."""
    result = summary(compute(0, 0, 0.0, 1.0)).to_json()

    assert json.loads(json.dumps(result)) == result
    assert " ".join(result) == (
        "total_s compute_s exposed_s host_s hidden_s bytes wire_bytes evidence model schedule "
        "steps world network device problems ranks"
    )
    assert (result["evidence"], result["world"]) == ("predicted", 2)
    assert result["ranks"][0]["rank"] == 0


def test_a_trace_without_compute_is_refused() -> None:
    """A total of nothing would be a wrong answer; the message says what is missing."""
    with pytest.raises(TraceError, match="no compute and no wait"):
        summary(gather(0, 0, 0.0, 1.0))
