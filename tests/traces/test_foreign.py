"""What follows from the rows of a program that is not ours."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from traces.foreign import is_foreign, seen_to_end, with_parts
from traces.operation import Operation, table
from traces.partial import common_steps
from traces.run import Run
from traces.trace import Trace

RUN = Run("net", "captured", ranks=2, steps=2, driver="captured", device="toy", network="there")


def transfer(seq: int, kind: str, end_s: float, rank: int = 0, **rest: Any) -> Operation:
    """Asked for at 1 s."""
    return Operation(rank, seq, "pg", kind, "x", 0, 0, 1.0, end_s, group="0,1", **rest)


def wait(seq: int, end_s: float, of: int) -> Operation:
    """From 2 s on."""
    return Operation(0, seq, "compute", "wait", "x", 0, 0, 2.0, end_s, waits_for=of)


def test_our_drivers_record_our_schedules() -> None:
    """All others record somebody else's; a replay may be of either."""
    drivers = ("distributed", "local", "simulated", "kineto", "replayed")
    foreign = [is_foreign(replace(RUN, driver=driver)) for driver in drivers]
    assert foreign == [False, False, False, True, True]


@pytest.mark.parametrize(
    ("seen_s", "over_s"), [(math.nan, 3.0), (4.0, 3.0), (2.5, 2.5), (3.0, 3.0)]
)
def test_a_transfer_is_over_when_the_first_wait_for_it_is(seen_s: float, over_s: float) -> None:
    """Unless it was seen to be over before; the second wait does not count."""
    rows = [transfer(0, "all_reduce", seen_s), wait(1, 3.0, of=0), wait(2, 9.0, of=0)]
    assert seen_to_end(table(rows))["end_s"].tolist() == [over_s, 3.0, 9.0]


def test_a_transfer_that_nobody_waits_for_keeps_its_end_or_has_none() -> None:
    """And none is over before it was asked for."""
    rows = [transfer(0, "send", math.nan), transfer(1, "send", 5.0), transfer(2, "send", 1.5)]
    early = Operation(0, 3, "compute", "wait", "x", 0, 0, 0.5, 0.75, waits_for=2)
    ends_s = seen_to_end(table([*rows, early]))["end_s"].tolist()
    assert math.isnan(ends_s[0])
    assert ends_s[1:] == [5.0, 1.0, 0.75]


def test_all_members_of_an_uneven_exchange_have_parts() -> None:
    """Where one says them, or where their bytes differ; equal exchanges stay without."""
    rows = []
    for rank, sizes in enumerate([(10, 8, 6), (7, 8, 6)]):
        parts = "" if rank else "4,6"
        rows += [
            transfer(0, "all_to_all", 2.0, rank, bytes=sizes[0], parts=parts),
            transfer(1, "all_gather", 2.0, rank, bytes=9),
            transfer(2, "all_to_all", 2.0, rank, bytes=sizes[1]),
            transfer(3, "all_to_all", 2.0, rank, bytes=5 + rank),
        ]
    filled = with_parts(table(rows))["parts"].tolist()
    assert filled == ["4,6", "", "", "3,2", "4,3", "", "", "3,3"]


def test_a_cut_leaves_out_collectives_with_a_root_that_a_rank_did_not_reach() -> None:
    """And keeps those that all asked for."""
    rows = []
    for rank in range(2):
        rows += [
            transfer(0, "broadcast", 2.0, rank, src=1),
            Operation(rank, 1, "compute", "compute", "f", 1, 0, 2.0, 3.0, cost_s=1.0),
        ]
        rows[-1].step = 0
    late = transfer(2, "reduce", math.nan, dst=0)
    rows.insert(2, late)
    more = Operation(0, 3, "compute", "compute", "f", 1, 0, 3.0, 4.0, cost_s=1.0)
    rows.insert(3, more)
    cut = common_steps(Trace(RUN, table(rows)))
    assert cut.run.steps == 1
    assert cut.ops["kind"].tolist() == ["broadcast", "compute"] * 2
