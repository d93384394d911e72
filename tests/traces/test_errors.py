"""Errors say what was asked for and what there is."""

from __future__ import annotations

import pytest

from traces.errors import InputError, RunError, ScheduleError, ThinwireError, TraceError, unknown


def test_a_near_miss_is_answered_with_the_name_that_was_meant() -> None:
    """One or two wrong letters lead to the right name."""
    error = unknown("schedule", "rnig", ["distrifusion", "ring"])

    assert str(error) == (
        "unknown schedule 'rnig': did you mean 'ring'? there are distrifusion, ring"
    )


def test_a_name_like_none_is_answered_with_all_there_are() -> None:
    """Nothing is suggested when nothing is near; names are sorted, whatever they come as."""
    error = unknown("network", "zzz", {"lan": 1, "dsl": 2})

    assert str(error) == "unknown network 'zzz': there are dsl, lan"


def test_an_unknown_name_is_an_input_error() -> None:
    """What `unknown` makes can be caught as a wrong input."""
    assert isinstance(unknown("device", "x", []), InputError)


@pytest.mark.parametrize("kind", [InputError, TraceError, ScheduleError, RunError])
def test_every_error_can_be_caught_as_thinwires(kind: type[Exception]) -> None:
    """The command shows these as messages and everything else as a bug."""
    assert issubclass(kind, ThinwireError)


def test_a_bad_trace_is_a_bad_input() -> None:
    """A damaged trace is something the user gave, unlike a schedule that does not fit together."""
    assert issubclass(TraceError, InputError)
    assert not issubclass(ScheduleError, InputError)
