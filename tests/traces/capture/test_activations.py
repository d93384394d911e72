"""What a capture takes is said once, in Python or on a command line, and checked there."""

from __future__ import annotations

from pathlib import Path

import pytest

from traces.capture.activations import FullTensors, Sink, Sketched, parse
from traces.errors import InputError


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("k,v,hidden", FullTensors(("k", "v", "hidden"))),
        (" k , v :full", FullTensors(("k", "v"))),
        ("hidden:sketch", Sketched(("hidden",))),
        ("k:sketch,lags=2,error=0.01,seed=3", Sketched(("k",), lags=2, error=0.01, seed=3)),
    ],
)
def test_a_command_line_says_what_is_taken(text: str, expected: FullTensors | Sketched) -> None:
    """Names, then the form, then its settings."""
    assert parse(text) == expected


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "expected names such as k,v,hidden"),
        ("k,,v", "expected names such as k,v,hidden"),
        ("k,k", "a name is given twice"),
        ("k:sketsh", "did you mean 'sketch'"),
        ("k:full,lags=2", "full takes no settings, such as 'lags=2'"),
        ("k:sketch,lag=2", "did you mean 'lags'"),
        ("k:sketch,lags=two", "lags is 'two'; expected a number"),
        ("k:sketch,lags=17", "lags is 17: expected 0 to 16"),
        ("k:sketch,error=0", "error is 0.0: expected 0.005 to 0.5"),
        ("k:sketch,error=nan", "error is nan"),
        ("k:sketch,seed=-1", "seed is -1"),
        ("chosen:sketch", "chosen: numbers of experts have no directions"),
    ],
)
def test_what_makes_no_sense_is_refused(text: str, message: str) -> None:
    """With what would."""
    with pytest.raises(InputError, match=message):
        parse(text)


def test_a_queue_of_nothing_is_refused() -> None:
    """It would wait for ever, or not at all."""
    with pytest.raises(InputError, match="queue_bytes is 0"):
        FullTensors(("k",), queue_bytes=0)


@pytest.mark.parametrize("what", [FullTensors(("k",)), Sketched(("k",))])
def test_a_description_makes_the_sink_of_a_rank(
    what: FullTensors | Sketched, tmp_path: Path
) -> None:
    """It takes the names, and has failed at nothing yet."""
    sink = what.sink(tmp_path, 3)
    sink.close()
    assert isinstance(sink, Sink)
    assert sink.names == ("k",)
    assert sink.error is None
    assert "0 B" in sink.report
