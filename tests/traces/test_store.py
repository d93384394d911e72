"""What is written is what is read, whichever way it was written."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from traces.columns import COLUMNS
from traces.errors import InputError, RunError, TraceError
from traces.operation import Operation, table
from traces.run import Run
from traces.store import PartWriter, create
from traces.trace import Trace


def files(folder: Path) -> dict[str, bytes]:
    """Every file below, by its name there."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.mark.parametrize("closed", [True, False])
def test_a_recording_reads_back_exactly(
    record: Callable[..., Path], whole: Trace, *, closed: bool
) -> None:
    """Closed or still open, the rows are those that were recorded, to the bit and the type."""
    trace = Trace.open(record(closed=closed))

    pd.testing.assert_frame_equal(trace.ops, whole.ops, check_exact=True)
    assert (trace.run, trace.problems) == (whole.run, ())


def test_the_table_has_the_columns_of_a_trace(whole: Trace, tmp_path: Path) -> None:
    """Names, order and types are those of COLUMNS, also after a trip to the disk."""
    whole.save(tmp_path / "saved")

    ops = Trace.open(tmp_path / "saved").ops

    assert list(ops) == list(COLUMNS)
    assert all(ops[name].dtype == dtype for name, dtype in COLUMNS.items())


def test_the_same_rows_are_the_same_bytes(
    record: Callable[..., Path], whole: Trace, tmp_path: Path
) -> None:
    """Recorded and closed, saved from memory, or saved from disk: all files are equal."""
    recorded = record()
    whole.save(tmp_path / "from memory")
    Trace.open(recorded).save(tmp_path / "from disk")

    assert files(tmp_path / "from memory") == files(recorded)
    assert files(tmp_path / "from disk") == files(recorded)


def test_an_open_recording_is_saved_as_a_closed_one(
    record: Callable[..., Path], whole: Trace, tmp_path: Path
) -> None:
    """Saving turns lines into Parquet."""
    Trace.open(record(closed=False)).save(tmp_path / "saved")
    whole.save(tmp_path / "expected")

    assert files(tmp_path / "saved") == files(tmp_path / "expected")


@pytest.mark.parametrize("closed", [True, False])
def test_a_transfer_may_end_after_its_step(tmp_path: Path, run: Run, *, closed: bool) -> None:
    """Its end comes as a line of its own, and is put into its row."""
    create(tmp_path / "t", replace(run, ranks=1, steps=2))
    part = PartWriter(tmp_path / "t", 0)
    late = Operation(0, 0, "world", "all_gather", "kv", 0, 0, 1.0, group="0")
    part.step_done(0, [late], {})
    part.end(0, 7.5)
    row = Operation(0, 1, "compute", "compute", "f", 1, 0, 1.0, 2.0, cost_s=1.0)
    part.step_done(1, [row], {})
    if closed:
        part.close()

    trace = Trace.open(tmp_path / "t")

    assert trace.ops["end_s"].tolist() == [7.5, 2.0]
    assert trace.problems == ()


def test_a_transfer_never_seen_to_end_is_a_problem(tmp_path: Path, run: Run, whole: Trace) -> None:
    """Its end is NaN, and the trace says so, however often it is saved again."""
    ops = whole.ops.copy()
    ops.loc[ops["kind"] == "shift", "end_s"] = math.nan
    Trace(run, ops).save(tmp_path / "a")
    Trace.open(tmp_path / "a").save(tmp_path / "b")

    trace = Trace.open(tmp_path / "b")

    assert trace.problems == tuple(
        f"rank {rank}: 3 transfers were never seen to end" for rank in (0, 1)
    )
    assert trace.ops["end_s"].isna().sum() == 6


def test_scan_gives_the_table_in_pieces_of_one_rank(
    record: Callable[..., Path], whole: Trace
) -> None:
    """Put together they are the table; each has at most as many rows as asked for."""
    for trace in (Trace.open(record()), whole):
        pieces = list(trace.scan(batch_rows=4))

        assert max(map(len, pieces)) == 4
        assert all(len(set(piece["rank"])) == 1 for piece in pieces)
        pd.testing.assert_frame_equal(pd.concat(pieces, ignore_index=True), whole.ops)


def test_scan_reads_the_columns_asked_for(record: Callable[..., Path]) -> None:
    """In the order in which they were asked for."""
    trace = Trace.open(record())

    assert [list(piece) for piece in trace.scan(["bytes", "rank"])] == [["bytes", "rank"]] * 2
    with pytest.raises(InputError, match="unknown column 'byte': did you mean 'bytes'"):
        trace.scan(["byte"])


def test_a_table_is_sorted_and_given_the_right_types(run: Run, whole: Trace) -> None:
    """Wider integers and categories are taken where nothing is lost."""
    wide = whole.ops.astype({"rank": "int64", "seq": "float64", "kind": "category"})

    ops = Trace(run, wide.sample(frac=1.0, random_state=1)).ops

    pd.testing.assert_frame_equal(ops, whole.ops)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda ops: ops.drop(columns="layer"), "other columns than a trace: see layer"),
        (lambda ops: ops.assign(extra=1), "see extra"),
        (lambda ops: ops.assign(step=0.5), "column step holds float64 that does not fit int32"),
        (lambda ops: ops.assign(dst=2**40), "column dst holds int64 that does not fit int32"),
        (lambda ops: ops.assign(start_s="soon"), "column start_s holds str"),
        (lambda ops: ops.assign(src=math.nan), "column src holds float64"),
    ],
)
def test_a_table_that_is_not_a_traces_is_refused(
    run: Run, whole: Trace, change: Callable[[pd.DataFrame], pd.DataFrame], message: str
) -> None:
    """The message names the column."""
    with pytest.raises(TraceError, match=message):
        Trace(run, change(whole.ops))


def test_rows_are_checked_before_anything_is_overwritten(
    tmp_path: Path, run: Run, whole: Trace
) -> None:
    """A table that makes no sense leaves the trace that is there as it is."""
    whole.save(tmp_path / "t")
    before = files(tmp_path / "t")

    with pytest.raises(TraceError, match="rank 0: row 0: bytes is -1; expected 0 or more"):
        Trace(run, whole.ops.assign(bytes=-1)).save(tmp_path / "t", overwrite=True)

    assert files(tmp_path / "t") == before


def test_a_trace_is_not_overwritten_unless_asked(tmp_path: Path, run: Run, whole: Trace) -> None:
    """The message says how to ask."""
    whole.save(tmp_path / "t")

    with pytest.raises(InputError, match="use --overwrite"):
        create(tmp_path / "t", run)
    with pytest.raises(InputError, match="is a file"):
        create(tmp_path / "t" / "run.json", run, overwrite=True)


def test_overwriting_removes_the_traces_files_and_no_others(
    tmp_path: Path, run: Run, whole: Trace
) -> None:
    """Notes that somebody put beside it stay."""
    whole.save(tmp_path / "t")
    (tmp_path / "t" / "notes.txt").write_text("mine")
    (tmp_path / "t" / "rank-1" / "ops.csv").write_text("mine")

    create(tmp_path / "t", replace(run, ranks=1), overwrite=True)

    assert set(files(tmp_path / "t")) == {"run.json", "notes.txt", "rank-1/ops.csv"}
    assert json.loads((tmp_path / "t" / "run.json").read_bytes())["ranks"] == 1


@pytest.mark.parametrize("content", [{}, {"photo.jpg": b"x"}, {"run.json": b"{}"}])
def test_what_is_no_trace_is_never_overwritten(
    tmp_path: Path, run: Run, content: dict[str, bytes]
) -> None:
    """A folder with anything else is refused and left alone; an empty one is used."""
    folder = tmp_path / "mine"
    folder.mkdir()
    for name, data in content.items():
        (folder / name).write_bytes(data)

    if content:
        with pytest.raises(InputError, match="will not be overwritten, it is no trace"):
            create(folder, run, overwrite=True)
        assert files(folder) == content
    else:
        create(folder, run)
        assert set(files(folder)) == {"run.json"}


def test_a_trace_is_not_saved_into_the_folder_it_is_read_from(
    record: Callable[..., Path],
) -> None:
    """It would be removed before it was read."""
    path = record()

    with pytest.raises(InputError, match="read from"):
        Trace.open(path).save(path / ".." / path.name, overwrite=True)


def test_a_rank_is_recorded_once(record: Callable[..., Path]) -> None:
    """A second writer is refused, whether the first one has closed or not."""
    path = record((3,))
    PartWriter(path, 1)

    for rank in (0, 1):
        with pytest.raises(InputError, match=f"rank-{rank}: was recorded already"):
            PartWriter(path, rank)


def test_steps_come_in_order(tmp_path: Path, run: Run) -> None:
    """A step that is done a second time would hide the first."""
    create(tmp_path / "t", run)
    part = PartWriter(tmp_path / "t", 0)
    part.step_done(1, [], {})

    with pytest.raises(InputError, match="step 1 is done after step 1"):
        part.step_done(1, [], {})


def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, run: Run) -> None:
    """Here a file stands where a folder is wanted."""
    (tmp_path / "file").write_text("")

    with pytest.raises(InputError, match="cannot be written: Not a directory"):
        create(tmp_path / "file" / "t", run)
    with pytest.raises(InputError, match="nowhere: does not exist; expected a folder with a trace"):
        PartWriter(tmp_path / "nowhere", 0)
    create(tmp_path / "t", run)
    (tmp_path / "t" / "rank-0").write_text("")
    with pytest.raises(RunError, match="cannot be written: File exists"):
        PartWriter(tmp_path / "t", 0)


TIMES = st.floats(0, 1e6)
TEXT = st.text(st.characters(codec="utf-8"), max_size=8)


@st.composite
def tables(draw: st.DrawFn) -> pd.DataFrame:
    """Rows of up to three ranks that make sense one by one."""
    operations = []
    for rank in range(draw(st.integers(1, 3))):
        for seq in range(draw(st.integers(1, 5))):
            start_s, transfer = draw(TIMES), draw(st.booleans())
            nbytes = draw(st.integers(0, 10**18 - 1))
            end_s = draw(st.just(math.nan) if transfer else st.just(start_s + draw(TIMES)))
            operations.append(
                Operation(
                    rank,
                    seq,
                    "world" if transfer else "compute",
                    "all_reduce" if transfer else "compute",
                    draw(TEXT),
                    draw(st.integers(-1, 2)),
                    draw(st.integers(-1, 99)),
                    start_s,
                    end_s,
                    cost_s=draw(TIMES if not transfer else st.just(math.nan) | TIMES),
                    host_s=draw(TIMES),
                    bytes=nbytes,
                    wire_bytes=draw(st.integers(0, 2**62)),
                    group="0,1,2" if transfer else "",
                    shape=draw(st.sampled_from(["", f"{nbytes}:bool"])) if transfer else draw(TEXT),
                )
            )
    return table(operations)


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ops=tables())
def test_any_table_survives_the_disk(
    tmp_path_factory: pytest.TempPathFactory, run: Run, ops: pd.DataFrame
) -> None:
    """Saved, and recorded as lines: the same table comes back, whatever it holds."""
    folder = tmp_path_factory.mktemp("any")
    header = replace(run, ranks=3)
    Trace(header, ops).save(folder / "saved")
    create(folder / "lines", header)
    for rank in np.unique(ops["rank"]):
        rows = ops[ops["rank"] == rank].itertuples(index=False, name=None)
        PartWriter(folder / "lines", int(rank)).step_done(2, [Operation(*row) for row in rows], {})

    for name in ("saved", "lines"):
        pd.testing.assert_frame_equal(Trace.open(folder / name).ops, ops, check_exact=True)
