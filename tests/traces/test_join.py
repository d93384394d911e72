"""Two traces of one program are compared row by row; of different programs, not at all."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from traces.errors import TraceError
from traces.join import join
from traces.run import Run
from traces.trace import Trace


def test_rows_meet_by_rank_and_seq(run: Run, whole: Trace) -> None:
    """Here everything takes twice as long on the right."""
    slow = whole.ops.assign(start_s=2 * whole.ops["start_s"], end_s=2 * whole.ops["end_s"])

    joined = join(whole, Trace(run, slow))

    assert len(joined) == len(whole.ops)
    assert joined[["rank", "seq"]].equals(whole.ops[["rank", "seq"]])
    np.testing.assert_array_equal(joined["end_s_left"], whole.ops["end_s"])
    np.testing.assert_allclose(joined["duration_s_right"], 2 * joined["duration_s_left"])
    np.testing.assert_allclose(joined["difference_s"], joined["duration_s_left"])


def test_times_and_bytes_on_the_wire_may_differ(run: Run, whole: Trace) -> None:
    """They are what is compared."""
    other = whole.ops.assign(wire_bytes=1, host_s=2.0, cost_s=3.0)

    assert set(join(whole, Trace(run, other))["wire_bytes_right"]) == {1}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda ops: ops.assign(name="other"), "rank 0, row 0: name is 'embed' and 'other'"),
        (lambda ops: ops.assign(shape="1"), "rank 0, row 0: shape is '' and '1'"),
        (lambda ops: ops.assign(layer=ops["layer"].mask(ops["layer"] == 0, 7)), "row 1: layer is"),
        (lambda ops: ops.assign(step=ops["step"].mask(ops["step"] == 2, 1)), "row 10: step is 2"),
        (lambda ops: ops.assign(kind="wait"), "rank 0, row 0: kind is 'compute' and 'wait'"),
        (lambda ops: ops[ops["seq"] < 7], "rank 0, row 7 is only in the left one"),
        (lambda ops: ops[ops["rank"] == 0], "rank 1, row 0 is only in the left one"),
    ],
)
def test_the_first_row_that_differs_is_named(
    run: Run,
    whole: Trace,
    change: Callable[[pd.DataFrame], pd.DataFrame],
    message: str,
) -> None:
    """Whether it is another operation or not there at all."""
    with pytest.raises(TraceError, match=message):
        join(whole, Trace(run, change(whole.ops)))


def test_a_row_too_many_is_named(run: Run, whole: Trace) -> None:
    """The right one may be the longer one."""
    with pytest.raises(TraceError, match="rank 0, row 7 is only in the right one"):
        join(Trace(run, whole.ops[whole.ops["seq"] < 7]), whole)
