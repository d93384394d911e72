"""How a rank's thread is cut into rows, on clocks that can be read off."""

from __future__ import annotations

import math
from itertools import count
from typing import Any

import pytest

from traces.capture.timeline import Draft, Timeline, Visit, settle
from traces.operation import Operation


class Counting:
    """A clock on which a second goes by each time that somebody looks."""

    def __init__(self, *, host: bool = True) -> None:
        self.host = host
        self.seconds = count()
        self.happened = math.inf  # up to when the device has come

    def begin(self, zero_s: float) -> None:
        """See Clock."""

    def mark(self) -> int:
        """See Clock."""
        return next(self.seconds)

    def after(self, mark: int) -> int:
        """See Clock."""
        return self.mark() if self.host else mark

    def read(self, mark: Any) -> float | None:
        """See Clock."""
        return float(mark) if mark <= self.happened else None

    def step_done(self) -> None:
        """See Clock."""

    def drain(self) -> None:
        """See Clock."""


def gather() -> Operation:
    """A transfer, as it is asked for."""
    return Operation(0, 0, "world", "all_gather", "", 0, 0, math.nan, group="0,1", bytes=8)


def rows(drafts: list[Draft], clock: Counting) -> list[tuple[str, float, float, float]]:
    """(kind, start, end, gap before)."""
    assert settle(drafts, clock, 0.0) is not None
    return [(d.row.kind, d.row.start_s, d.row.end_s, d.row.host_s) for d in drafts]


def test_a_launch_and_a_wait_cut_what_is_computed() -> None:
    """What the launch takes of the host is a gap."""
    clock = Counting()
    timeline = Timeline(0, clock)  # looks at 0
    timeline.enter(Visit("attn", 2))  # 1
    timeline.launch()  # 2
    (transfer,) = timeline.launched([gather()])  # 3
    timeline.wait()  # 4
    timeline.waited([transfer])  # 5
    timeline.leave()  # 6

    assert rows(timeline.drafts, clock) == [
        ("compute", 1, 2, 1),
        ("all_gather", 2, 5, 0),
        ("compute", 3, 4, 1),
        ("wait", 4, 5, 0),
        ("compute", 5, 6, 0),
    ]
    assert [d.row.seq for d in timeline.drafts] == [0, 1, 2, 3, 4]
    assert timeline.drafts[3].row.waits_for == 1
    assert {d.row.layer for d in timeline.drafts} == {2}


def test_on_a_gpu_a_launch_takes_nothing_and_the_wait_follows_it() -> None:
    """A synchronous collective is on the stream itself: exposed from when it was asked for."""
    clock = Counting(host=False)
    timeline = Timeline(0, clock)  # looks at 0
    timeline.enter(Visit("attn", 0))  # 1
    timeline.launch()  # 2
    (transfer,) = timeline.launched([gather()])
    timeline.wait()
    timeline.waited([transfer])  # 3
    timeline.leave()  # 4

    assert rows(timeline.drafts, clock) == [
        ("compute", 1, 2, 1),
        ("all_gather", 2, 3, 0),
        ("wait", 2, 3, 0),
        ("compute", 3, 4, 0),
    ]


def test_time_outside_of_all_modules_is_a_gap() -> None:
    """Before, between and after."""
    clock = Counting()
    timeline = Timeline(0, clock)  # looks at 0
    for _ in range(2):
        timeline.enter(Visit("model", -1))  # 1, 3
        timeline.leave()  # 2, 4

    assert rows(timeline.take_step(), clock) == [("compute", 1, 2, 1), ("compute", 3, 4, 1)]


def test_one_handle_for_several_transfers_is_waited_for_once() -> None:
    """The first wait takes the time, the others none."""
    clock = Counting()
    timeline = Timeline(0, clock)
    timeline.launch()
    transfers = timeline.launched([gather(), gather()])
    timeline.wait()
    timeline.waited(transfers)

    waits = rows(timeline.drafts, clock)[2:]
    assert [(end - start) > 0 for _, start, end, _ in waits] == [True, False]


def test_a_transfer_that_nobody_saw_end_has_no_end() -> None:
    """It may still be seen later."""
    clock = Counting()
    timeline = Timeline(0, clock)
    timeline.launch()
    timeline.launched([gather()])
    ((_, start_s, end_s, _),) = rows(timeline.take_step(), clock)
    assert start_s == 1
    assert math.isnan(end_s)


def test_a_step_that_the_device_has_not_done_is_not_read() -> None:
    """Its rows stay as they are until then."""
    clock = Counting(host=False)
    timeline = Timeline(0, clock)
    timeline.enter(Visit("model", -1))
    timeline.leave()
    clock.happened = 1

    (draft,) = timeline.take_step()
    assert settle([draft], clock, 0.0) is None
    assert math.isnan(draft.row.start_s)
    clock.happened = 2
    assert settle([draft], clock, 0.0) == 2


def test_rows_of_a_step_that_broke_off_are_forgotten() -> None:
    """The next ones take their numbers."""
    clock = Counting()
    timeline = Timeline(0, clock)
    for _ in range(2):
        timeline.enter(Visit("model", -1))
        timeline.leave()
        timeline.forget()
    timeline.enter(Visit("model", -1))
    timeline.leave()
    assert [draft.row.seq for draft in timeline.drafts] == [0]


@pytest.mark.parametrize("name", ["blocks", "blocks (skipped)"])
def test_a_row_takes_the_name_that_its_module_has_at_last(name: str) -> None:
    """That a block was skipped is known only when it is left."""
    clock = Counting()
    timeline = Timeline(0, clock)
    timeline.enter(Visit("blocks", 0))
    timeline.leave().name = name
    rows(timeline.drafts, clock)
    assert timeline.drafts[0].row.name == name
