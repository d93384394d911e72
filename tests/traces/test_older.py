"""Traces of an older schema: what they lack is empty, and everything else is as it was."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pandas as pd
import pytest

from traces.columns import COLUMNS
from traces.errors import TraceError
from traces.run import SCHEMA
from traces.summary import summarize
from traces.trace import Trace

#: Of schema 1: rank 0 is closed, rank 1 was not.
OLD = Path(__file__).parents[1] / "data" / "schema-1"


def test_a_trace_from_before_there_were_parts_is_read() -> None:
    """Closed or not; no all-to-all had parts that differ."""
    trace = Trace.open(OLD)

    assert (trace.run.schema, trace.problems) == (1, ())
    assert list(trace.ops) == list(COLUMNS)
    assert all(trace.ops[name].dtype == dtype for name, dtype in COLUMNS.items())
    assert set(trace.ops["parts"]) == {""}
    transfers = trace.ops[trace.ops["kind"] == "all_to_all"]
    assert transfers["end_s"].tolist() == [3.25, 7.25] * 2
    assert summarize(trace).total_s == 7.5
    assert trace.activations("hidden").isel(rank=1, step=-1, layer=0).to_numpy()[0, 0] == 11


@pytest.mark.parametrize("columns", [["parts"], ["parts", "rank"], ["seq", "parts", "end_s"]])
def test_columns_that_it_lacks_can_be_asked_for(columns: list[str]) -> None:
    """Alone, and between others in any order."""
    whole = Trace.open(OLD)

    scanned = pd.concat(whole.scan(columns, batch_rows=2), ignore_index=True)

    pd.testing.assert_frame_equal(scanned, whole.ops[columns])


def test_saved_anew_it_is_of_the_schema_of_now(tmp_path: Path) -> None:
    """With all its rows and activations, and an identity that its parts share."""
    old = Trace.open(OLD)
    old.save(tmp_path / "new")

    new = Trace.open(tmp_path / "new")

    assert new.run.schema == SCHEMA
    assert new.run.started == old.run.started
    pd.testing.assert_frame_equal(new.ops, old.ops, check_exact=True)
    assert new.kept() == old.kept() == ("hidden",)


@pytest.mark.parametrize("rank", [0, 1])
def test_a_part_of_now_does_not_fit_an_older_header(tmp_path: Path, rank: int) -> None:
    """Nor the other way round: the header says which columns there are."""
    Trace.open(OLD).save(tmp_path / "new")
    shutil.copytree(OLD, tmp_path / "old")
    shutil.rmtree(tmp_path / "old" / f"rank-{rank}")
    shutil.copytree(tmp_path / "new" / f"rank-{rank}", tmp_path / "old" / f"rank-{rank}")
    with pytest.raises(TraceError, match="column 'parts' is string; expected none"):
        Trace.open(tmp_path / "old")

    header = tmp_path / "new" / "run.json"
    shutil.rmtree(tmp_path / "new" / f"rank-{rank}")
    shutil.copytree(OLD / f"rank-{rank}", tmp_path / "new" / f"rank-{rank}")
    assert json.loads(header.read_text())["schema"] == SCHEMA
    with pytest.raises(TraceError, match=r"column 'parts' is missing|line 1 is not the header"):
        Trace.open(tmp_path / "new")
