"""The offset between two clocks, from messages there and back."""

from __future__ import annotations

import pytest

from traces.clocks import Ping, ahead_s


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
