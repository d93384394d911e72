"""Side by side: sums that are known by hand, and a recording beside its replay."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from analysis.breakdown import breakdown, communication, measured_against_predicted
from traces.errors import InputError, TraceError
from traces.operation import Operation, table
from traces.run import Run
from traces.trace import Trace

RUN = Run("tiny", "toy", ranks=1, steps=2, driver="distributed", device="toy", network="gloo")
PREDICTED = replace(RUN, driver="replayed", network="wire")


def operations(factor: float = 1.0) -> list[Operation]:
    """A gather asked for in step 0 that step 1 waits for, and a late one that never ends."""
    rows = [
        Operation(0, 0, "world", "all_gather", "kv", 0, 0, 0.0, 5.0),
        Operation(0, 1, "compute", "compute", "f", 0, 0, 0.0, 2.0, 2.0),
        Operation(0, 2, "compute", "wait", "kv", 1, 0, 3.0, 5.0, host_s=1.0, waits_for=0),
        Operation(0, 3, "world", "all_reduce", "sum", 1, 0, 5.0, math.nan),
        Operation(0, 4, "compute", "compute", "f", 1, 0, 5.0, 9.0, 4.0),
    ]
    for row in rows:
        row.start_s, row.end_s = factor * row.start_s, factor * row.end_s
        if row.stream == "world":
            row.group, row.bytes, row.wire_bytes = "0", 100, 300
    return rows


def trace(run: Run = RUN, factor: float = 1.0) -> Trace:
    """Times all multiplied."""
    return Trace(run, table(operations(factor)))


def test_a_transfer_is_hidden_where_asked_for_and_exposed_where_waited_for() -> None:
    """3 of the gather's 5 s hide in step 0's row, 2 s are exposed in step 1's; bytes stay."""
    found = communication(trace()).set_index(["step", "kind", "name"])
    asked, waited, never = found.sort_index().itertuples()
    assert asked[1:] == (0.0, 3.0, 1, 100, 300, 0)
    assert waited[1:3] == (2.0, 0.0)
    assert waited[3:] == (0, 0, 0, 0)
    assert never[2:] == (pytest.approx(math.nan, nan_ok=True), 1, 100, 300, 1)
    assert found.index.tolist() == [
        (0, "all_gather", "kv"), (1, "all_gather", "kv"), (1, "all_reduce", "sum"),
    ]  # fmt: skip


def test_a_breakdown_adds_up_two_ways() -> None:
    """By what the last rank did, and along the critical path; a label each."""
    found = breakdown({"one": trace(), "slow": trace(factor=2.0)}).set_index("label")
    for label, factor in (("one", 1), ("slow", 2)):
        row = found.loc[label]
        assert row["total_s"] == 9 * factor
        assert row["compute_s"] + row["exposed_s"] == 8 * factor
        path = [row[f"path_{kind}_s"] for kind in ("compute", "transfer", "host", "idle")]
        assert sum(path) == pytest.approx(row["total_s"])
        assert row["evidence"] == "measured"
    assert found.loc["one", "path_transfer_s"] == 5


def test_a_prediction_is_off_by_what_was_planted() -> None:
    """Half as long again: 50 % in every kind, and in the whole run; what never ended is counted."""
    found = measured_against_predicted(trace(), trace(PREDICTED, 1.5)).set_index(["kind", "name"])
    assert found.loc[("run", ""), "measured_s"] == 9
    timed = found.loc[[("run", ""), ("compute", "f"), ("wait", "kv"), ("all_gather", "kv")]]
    assert timed["error"].to_numpy() == pytest.approx(0.5)
    assert timed["median_error"].to_numpy()[1:] == pytest.approx(0.5)
    assert found.loc[("all_reduce", "sum"), "unended"] == 1
    assert found["error"].isna().sum() == 1


def test_measured_and_predicted_are_not_to_be_mixed_up() -> None:
    """Either the wrong way round is refused, and so are other programs, and nothing at all."""
    with pytest.raises(InputError, match="expected a measured trace and got one that was predict"):
        measured_against_predicted(trace(PREDICTED), trace(PREDICTED))
    with pytest.raises(InputError, match="expected a predicted trace and got one that was measur"):
        measured_against_predicted(trace(), trace())
    shorter = Trace(PREDICTED, table(operations()[:-1]))
    with pytest.raises(TraceError, match="different programs"):
        measured_against_predicted(trace(), shorter)
    with pytest.raises(InputError, match="at least one trace"):
        breakdown({})
