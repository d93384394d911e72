"""Ranks on several hosts get one time axis from the ends of their collectives."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traces.kineto.align import align, apart
from traces.operation import Operation


def rank(number: int, ends_s: list[float], kind: str = "all_reduce") -> list[Operation]:
    """Collectives of all, each of which ends at these times of the rank's own clock."""
    return [
        Operation(number, i, "world", kind, "x", 0, -1, end_s - 0.1, end_s, group="0,1,2")
        for i, end_s in enumerate(ends_s)
    ]


@given(
    ahead_s=st.floats(-1e6, 1e6),
    noise_s=st.lists(st.floats(-1e-3, 1e-3), min_size=1, max_size=30),
)
def test_the_offset_is_found_to_within_what_is_said(ahead_s: float, noise_s: list[float]) -> None:
    """The clock of the other host is ahead; its collectives end a little earlier or later."""
    ends_s = [float(i) for i in range(1, len(noise_s) + 1)]
    there = [end + noise + ahead_s for end, noise in zip(ends_s, noise_s, strict=True)]
    origins_s = {0: 0.0, 1: 0.0}
    (said,) = align({0: rank(0, ends_s), 1: rank(1, there)}, origins_s, {0: "a", 1: "b"})
    assert "the clock of host 'b' was set" in said
    assert origins_s[0] == 0
    assert origins_s[1] == pytest.approx(-ahead_s, abs=max(map(abs, noise_s)) + 1e-9)


def test_hosts_are_compared_by_way_of_others() -> None:
    """Ranks 0 and 2 have nothing in common but rank 1."""
    rows = {0: rank(0, [1, 2]), 1: rank(1, [11, 12]), 2: rank(2, [105, 106])}
    for row in rows[1] + rows[2]:
        row.stream = "other"
    rows[1] = rank(1, [11, 12]) + rows[1]
    for row, end_s in zip(rows[1], (11, 12, 15, 16), strict=True):
        row.end_s = end_s
    origins_s = {0: 0.0, 1: 0.0, 2: 0.0}
    assert len(align(rows, origins_s, dict(enumerate("abc")))) == 2
    assert origins_s == {0: 0.0, 1: -10.0, 2: -100.0}


def test_what_cannot_be_compared_is_said_and_one_host_needs_nothing() -> None:
    """A broadcast ends when it likes."""
    rows = {0: rank(0, [1], "broadcast"), 1: rank(1, [5], "broadcast")}
    origins_s = {0: 0.0, 1: 0.0}
    (said,) = align(rows, origins_s, {0: "a", 1: "b"})
    assert "'b' could not be compared" in said
    assert align(rows, origins_s, {0: "a", 1: "a"}) == []
    assert all(one == other for one, other in pairwise(origins_s.values()))


def test_ranks_that_were_recorded_at_other_times_are_named() -> None:
    """As where files of two runs were given; ranks whose times overlap by way of others are not."""
    rows = {0: rank(0, [1, 3]), 1: rank(1, [2.95, 5]), 2: rank(2, [4.95, 6]), 3: []}
    assert apart(rows, {0: 0.0, 1: 0.0, 2: 0.0, 3: 0.0}) == []
    (said,) = apart(rows, {0: 100.0, 1: 0.0, 2: 0.0, 3: 0.0})
    assert said.startswith("rank 0 was recorded 94.9 s after those before it had ended")
