"""Rows of all ranks that are one exchange, and when it was under way."""

from __future__ import annotations

import math

from analysis.exchanges import exchanges, places
from traces.operation import Operation, table
from traces.run import Run
from traces.trace import Trace


def transfer(rank: int, seq: int, kind: str, start_s: float, end_s: float) -> Operation:
    """Of 100 bytes, in a group of two."""
    row = Operation(rank, seq, "world", kind, "x", 0, 0, start_s, end_s)
    row.group, row.bytes, row.wire_bytes = "0,1", 100, 100
    if kind in ("send", "shift"):
        row.dst = 1 - rank
    if kind in ("recv", "shift"):
        row.src, row.wire_bytes = 1 - rank, 100 * (kind == "shift")
    return row


def trace(*rows: Operation) -> Trace:
    """Of these."""
    run = Run("tiny", "toy", 2, 1, "simulated", device="toy", network="wire")
    return Trace(run, table(rows))


def test_collectives_are_matched_in_order_and_queue() -> None:
    """The second begins when the first is over, though both had been asked for before."""
    rows = [
        transfer(0, 0, "all_gather", 0.0, 3.0),
        transfer(0, 1, "all_gather", 1.0, 5.0),
        transfer(1, 0, "all_gather", 2.0, 3.0),
        transfer(1, 1, "all_gather", 2.0, 4.0),
    ]
    found = exchanges(places(trace(*rows))).loc["world (0,1)"]
    assert found["asked_s"].tolist() == [2.0, 2.0]
    assert found["begin_s"].tolist() == [2.0, 3.0]
    assert found["end_s"].tolist() == [3.0, 5.0]
    assert found["wire_bytes"].tolist() == [200, 200]


def test_a_shift_is_two_messages() -> None:
    """One out and one in, each on a line of its own, with the sender's bytes."""
    found = exchanges(
        places(trace(transfer(0, 0, "shift", 0.0, 2.0), transfer(1, 0, "shift", 1.0, 3.0)))
    )
    assert found.index.tolist() == [("world 0>1", 0), ("world 1>0", 0)]
    assert found["end_s"].tolist() == [3.0, 2.0]
    assert found["wire_bytes"].tolist() == [100, 100]


def test_a_message_ends_where_its_receiver_says() -> None:
    """Though its sender's part may be over before, or never be seen to end."""
    rows = [transfer(0, 0, "send", 0.0, math.nan), transfer(1, 0, "recv", 1.0, 4.0)]
    found = exchanges(places(trace(*rows)))
    assert found["end_s"].tolist() == [4.0]
    assert found["ranks"].tolist() == found["members"].tolist() == [2]


def test_a_part_that_never_ended_leaves_its_exchange_without_an_end() -> None:
    """And a missing rank is seen by the number of rows."""
    rows = [transfer(0, 0, "all_gather", 0.0, math.nan), transfer(1, 0, "all_gather", 1.0, 4.0)]
    assert math.isnan(exchanges(places(trace(*rows)))["end_s"].iloc[0])
    alone = exchanges(places(trace(rows[1])))
    assert alone[["ranks", "members"]].iloc[0].tolist() == [1, 2]


def test_exchanges_that_overlapped_did_not_queue() -> None:
    """The first outlasts the second, so that it cannot have been waited for."""
    rows = [
        transfer(0, 0, "all_gather", 0.0, 9.0),
        transfer(0, 1, "all_gather", 1.0, 4.0),
        transfer(1, 0, "all_gather", 0.0, 9.0),
        transfer(1, 1, "all_gather", 1.0, 4.0),
    ]
    assert exchanges(places(trace(*rows)))["begin_s"].tolist() == [0.0, 1.0]
