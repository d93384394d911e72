"""Work behind a program's back: in order, within its memory, and never in the program's way."""

from __future__ import annotations

import threading
import warnings

import pytest

from traces.capture.spool import Keys, Spool

pytestmark = pytest.mark.timeout(20)


def test_jobs_are_done_in_order_before_it_closes() -> None:
    """All of them."""
    done: list[int] = []
    spool = Spool("rank 0", 10)
    for number in range(50):
        spool.put(3, lambda number=number: done.append(number))  # type: ignore[misc]
    spool.close()
    assert done == list(range(50))
    assert spool.peak_bytes <= 10


def test_a_program_waits_while_too_much_is_held() -> None:
    """A third job has no room until the first is done; the wait is counted."""
    first = threading.Event()
    began: list[bool] = []
    spool = Spool("rank 0", 100)
    spool.put(60, first.wait)
    spool.put(40, lambda: None)
    releasing = threading.Timer(0.05, first.set)
    releasing.start()
    spool.put(50, lambda: began.append(first.is_set()))
    waited_for_it = first.is_set()
    spool.close()
    assert waited_for_it
    assert began == [True]
    assert (spool.waits, spool.peak_bytes) == (1, 100)
    assert spool.waited_s > 0
    assert "the run waited" in spool.report


def test_a_job_that_is_larger_than_the_limit_waits_alone() -> None:
    """It would have no room otherwise."""
    done: list[str] = []
    spool = Spool("rank 0", 10)
    spool.put(7, lambda: done.append("small"))
    spool.put(1000, lambda: done.append("large"))
    spool.put(7, lambda: done.append("small"))
    spool.close()
    assert done == ["small", "large", "small"]
    assert spool.peak_bytes == 1000


def fail() -> None:
    """As a disk does that is full."""
    raise OSError(28, "No space left on device")


def test_a_failure_stops_it_and_is_warned_of_once() -> None:
    """What waits and what comes is dropped, and nobody waits for room that never comes."""
    go = threading.Event()
    done: list[int] = []
    spool = Spool("rank 3, out", 10)
    spool.put(4, go.wait)
    spool.put(4, fail)
    spool.put(1, lambda: done.append(1))
    putting = threading.Thread(target=lambda: spool.put(9, lambda: done.append(2)))
    putting.start()

    def go_on() -> None:
        go.set()
        putting.join()
        spool.put(1, fail)
        spool.close()

    with pytest.warns(UserWarning, match="rank 3, out: no more activations are kept") as warned:
        go_on()
    assert len(warned) == 1
    assert done == []
    assert isinstance(spool.error, OSError)


def test_a_failure_is_none_of_the_programs_where_warnings_are_errors() -> None:
    """Neither in its own thread nor in the spool's."""
    spool = Spool("rank 0", 10)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with spool.guarding():
            fail()
        spool.put(1, fail)
        spool.close()
    assert isinstance(spool.error, OSError)


def test_what_comes_again_in_a_step_has_a_number() -> None:
    """Of each name and layer, until the step is done."""
    keys = Keys()
    found = [keys.next(*each) for each in (("k", 0), ("k", 1), ("k", 0), ("k", 0))]
    keys.step_done()
    assert [*found, keys.next("k", 0)] == ["k/0", "k/1", "k.2/0", "k.3/0", "k/0"]
