"""Replays of hand-made recordings, to exact numbers: gaps, late wake-ups, halves of shifts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pandas as pd
import pytest

from simnet.drivers.replay import Blob, replay
from simnet.network.recorded import RecordedNetwork
from simnet.network.topology import Links
from simnet.ops import At, Compute, Program, Recv, Send, Shift, Wait
from traces.errors import ScheduleError, TraceError
from traces.operation import Operation, table
from traces.run import Run
from traces.trace import Trace

RUN = Run("toy", "toy", ranks=2, steps=1, driver="distributed", device="toy", network="toy")
FAST = Links("fast", rate_bps=8e3, latency_s=0.0)  # a thousand bytes a second
Play = Callable[..., list[Operation]]
Busy = Callable[[float], Compute]
Sized = Callable[[int], Blob]


def recorded(rank: int) -> list[Operation]:
    """A gap of 1 s, 2 s of computing, a transfer that takes 5 s, and 0.5 s to wake up from it."""
    shift = Operation(rank, 0, "world", "shift", "x", 0, -1, 1.0, 6.0, host_s=1.0)
    shift.group, shift.shape, shift.bytes, shift.wire_bytes = "0,1", "1000:uint8", 1000, 1000
    shift.src = shift.dst = 1 - rank
    return [
        shift,
        Operation(rank, 1, "compute", "compute", "f", 0, -1, 1.0, 3.0, cost_s=2.0),
        Operation(rank, 2, "compute", "wait", "x", 0, -1, 3.0, 6.5, waits_for=0),
        Operation(rank, 3, "compute", "compute", "g", 0, -1, 6.75, 7.75, cost_s=1.0, host_s=0.25),
    ]


def test_gaps_and_wake_ups_stay_and_only_the_transfer_changes() -> None:
    """At a thousand bytes a second the computing hides it all."""
    trace = Trace(RUN, table([*recorded(0), *recorded(1)]))
    ops = replay(trace, FAST).ops
    mine = ops[ops["rank"] == 0]
    assert mine["start_s"].tolist() == [1.0, 1.0, 3.0, 3.75]
    assert mine["end_s"].tolist() == [2.0, 3.0, 3.5, 4.75]
    assert mine["host_s"].tolist() == [1.0, 0.0, 0.0, 0.25]


def test_on_the_recorded_network_the_recording_comes_back() -> None:
    """Every time stamp of it."""
    trace = Trace(RUN, table([*recorded(0), *recorded(1)]))
    again = replay(trace, RecordedNetwork.from_trace(trace))
    pd.testing.assert_frame_equal(again.ops, trace.ops, check_exact=True)


def test_the_faster_half_of_a_shift_does_not_hold_up_what_comes_after_it(
    toy: Play, busy: Busy, blob: Sized
) -> None:
    """A row says when both halves of a shift had ended; its lines may have been free before."""

    def program(rank: int) -> Program:
        yield At(0)
        if rank == 2:
            yield busy(20.0)  # 1 to 2 and 2 to 0 begin late, 0 to 1 at once
        shift = yield Shift("x", blob(1))
        if rank == 0:
            yield Send("y", blob(1), 1)
        if rank == 1:
            got = yield Recv("y", blob(1), 0)
            yield Wait(got)
        yield Wait(shift)

    ops = toy([program(rank) for rank in range(3)], steps=1)
    trace = Trace(replace(RUN, ranks=3), table(ops))
    again = replay(trace, RecordedNetwork.from_trace(trace))
    pd.testing.assert_series_equal(again.ops["end_s"], trace.ops["end_s"])


def test_a_recording_that_cannot_end_is_reported_as_what_it_is() -> None:
    """Two receives that nobody sends to: a hand-edited or foreign trace."""
    rows = []
    for rank in range(2):
        asked = Operation(rank, 0, "world", "recv", "kv", 0, 2, 0.0, 1.0, group="0,1")
        asked.src, asked.shape = 1 - rank, "4:uint8"
        rows += [asked, Operation(rank, 1, "compute", "wait", "kv", 0, 2, 0.0, 1.0, waits_for=0)]
    with pytest.raises(ScheduleError, match=r"rank 0 waits for recv 'kv' \(step 0, layer 2\)"):
        replay(Trace(RUN, table(rows)), FAST)


def test_a_transfer_that_was_never_seen_to_end_can_be_replayed_elsewhere() -> None:
    """On a network model, not on the recorded one, which does not know how long it took."""
    rows = [*recorded(0), *recorded(1)]
    for row in rows:
        if row.kind == "shift":
            row.end_s = float("nan")
    trace = Trace(RUN, table(rows))
    assert replay(trace, FAST).ops["end_s"].notna().all()
    with pytest.raises(TraceError, match="step 0, layer -1: shift 'x' was never seen to end"):
        RecordedNetwork.from_trace(trace)
