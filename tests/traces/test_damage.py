"""Damage is named, with its file and field; it is never read as something else."""

from __future__ import annotations

import json
import math
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from traces.errors import TraceError
from traces.part import RUN_KEY, ClosedPart, row_of
from traces.run import SCHEMA, Run
from traces.trace import Trace

ROW = row_of(SCHEMA)
NOISE = np.random.default_rng(0).bytes(4096)
Record = Callable[..., Path]


def read(path: Path) -> None:
    """All that there is to read."""
    trace = Trace.open(path)
    assert len(trace.ops) > 0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "run.json: is not JSON"),
        (NOISE, "run.json: is not JSON"),
        (b"[" * 100_000, "run.json: is not JSON"),
        (b"[1, 2]", "run.json: expected a JSON object"),
        (b"{}", "run.json: schema is None"),
        (b'{"schema": 0}', "run.json: schema is 0, but this thinwire reads 1 to 3"),
        (b'{"schema": 4}', "run.json: schema is 4, but this thinwire reads 1 to 3"),
        (b'{"schema": 1}', "run.json: field 'model' is missing"),
        (b'{"schema": 3}', "run.json: field 'model' is missing"),
        (b'{"schema": 1, "color": 1}', "run.json: unknown field 'color'"),
    ],
)
def test_a_header_that_is_none_is_refused(record: Record, content: bytes, message: str) -> None:
    """Empty, foreign, or of another version."""
    path = record()
    (path / "run.json").write_bytes(content)

    with pytest.raises(TraceError, match=message):
        read(path)


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("ranks", 0, "ranks is 0, expected an integer above 0"),
        ("ranks", True, "ranks is True"),
        ("steps", 2.5, "steps is 2.5"),
        ("model", 7, "model is 7, expected text"),
        ("seed", "a", "seed is 'a', expected an integer"),
        ("versions", [], "versions is "),
        ("versions", {"torch": 2}, "versions is .*, expected an object of names and versions"),
        ("started", 0, "started is 0, expected text"),
    ],
)
def test_a_headers_fields_are_checked(
    record: Record, field: str, value: object, message: str
) -> None:
    """Each for its type."""
    path = record()
    header = json.loads((path / "run.json").read_bytes())
    (path / "run.json").write_text(json.dumps(header | {field: value}))

    with pytest.raises(TraceError, match=message):
        read(path)


def test_a_path_that_is_no_trace_is_refused(record: Record, tmp_path: Path) -> None:
    """Nothing there, a file, and a folder of something else."""
    with pytest.raises(TraceError, match="does not exist"):
        read(tmp_path / "nothing")
    with pytest.raises(TraceError, match="is a file; expected a folder"):
        read(record() / "run.json")
    (tmp_path / "pictures").mkdir()
    with pytest.raises(TraceError, match=r"no run\.json, so this is not a thinwire trace"):
        read(tmp_path / "pictures")


def test_a_rank_that_the_run_does_not_have_is_refused(record: Record) -> None:
    """The trace of four ranks does not fit a header of two."""
    path = record()
    (path / "rank-1").rename(path / "rank-2")

    with pytest.raises(TraceError, match=r"rank-2: run\.json says that there are 2 ranks"):
        read(path)


def test_a_part_of_another_rank_is_refused(record: Record) -> None:
    """Copied to the wrong place, closed or not."""
    for closed, message in ((True, "row 0: rank is 1; expected 0"), (False, "header of rank 0")):
        path = record(closed=closed)
        shutil.rmtree(path / "rank-0")
        shutil.copytree(path / "rank-1", path / "rank-0")
        with pytest.raises(TraceError, match=message):
            read(path)
        shutil.rmtree(path)


@pytest.mark.parametrize("name", ["ops.parquet", "ops.jsonl"])
@pytest.mark.parametrize(("content", "message"), [(b"", ""), (NOISE, "")])
def test_a_part_that_is_empty_or_noise_is_refused(
    record: Record, name: str, content: bytes, message: str
) -> None:
    """Nobody is served by taking it for a rank that did nothing."""
    path = record(closed=name == "ops.parquet")
    (path / "rank-0" / name).write_bytes(content)

    with pytest.raises(TraceError, match=rf"rank-0.{name}: .*{message}"):
        read(path)


def test_a_header_that_nests_too_deeply_is_refused(record: Record) -> None:
    """Python gives up on it in its own way."""
    path = record(closed=False)
    (path / "rank-0" / "ops.jsonl").write_bytes(b"[" * 100_000 + b"\n")

    with pytest.raises(TraceError, match=r"ops\.jsonl: line 1 is damaged; expected JSON"):
        read(path)


def test_a_truncated_parquet_file_is_refused(record: Record) -> None:
    """Wherever it is cut."""
    path = record()
    part = path / "rank-0" / "ops.parquet"
    data = part.read_bytes()
    for size in range(1, len(data), len(data) // 20):
        part.write_bytes(data[:size])
        with pytest.raises(TraceError, match=r"rank-0.ops\.parquet: cannot be read"):
            read(path)


def test_a_flipped_bit_in_a_page_is_refused(record: Record, whole: Trace) -> None:
    """Pages carry a checksum: either the file is refused, or the rows are as they were."""
    path = record()
    part = path / "rank-0" / "ops.parquet"
    data = part.read_bytes()
    refused = 0
    for place in range(4, len(data) // 2, 97):
        part.write_bytes(data[:place] + bytes([data[place] ^ 4]) + data[place + 1 :])
        try:
            ops = Trace.open(path).ops
        except TraceError:
            refused += 1
        else:
            assert ops.equals(whole.ops)

    assert refused > 0


def test_a_column_whose_name_is_no_text_is_refused(record: Record) -> None:
    """A flipped bit in the footer, which has no checksum."""
    path = record()
    part = path / "rank-0" / "ops.parquet"
    part.write_bytes(part.read_bytes().replace(b"waits_for", b"\xe5aits_for"))

    with pytest.raises(TraceError, match=r"ops\.parquet: cannot be read"):
        read(path)


def test_a_footer_that_promises_other_rows_is_refused(record: Record) -> None:
    """What is there is counted."""
    part = ClosedPart(record() / "rank-0" / "ops.parquet", 0)
    part.rows += 1

    with pytest.raises(TraceError, match="has 15 rows, but says that it has 16"):
        list(part.batches(["rank"], 4))


def test_text_that_is_none_is_refused(record: Record) -> None:
    """Bytes that are no UTF-8, which Arrow takes for text unless it is asked to look."""
    path = record()
    part = path / "rank-0" / "ops.parquet"
    table = pq.read_table(part)
    noise = pa.array([b"\xff\xfe"] * len(table), pa.binary()).view(pa.string())
    pq.write_table(table.set_column(table.schema.names.index("name"), "name", noise), part)

    with pytest.raises(TraceError, match=r"ops\.parquet: cannot be read: .*UTF8"):
        read(path)


def test_an_empty_trace_is_refused(record: Record, run: Run, whole: Trace, tmp_path: Path) -> None:
    """On disk, closed or not, with and without ranks; and in memory."""
    for steps, closed in (((), True), ((0, 0), True), ((0, 0), False)):
        path = record(steps, closed=closed)
        with pytest.raises(TraceError, match="the trace is empty"):
            read(path)
        shutil.rmtree(path)
    with pytest.raises(TraceError, match="the trace is empty"):
        Trace(run, whole.ops.iloc[:0]).save(tmp_path / "t")


def change_parquet(path: Path, **columns: Any) -> None:
    """Replace columns of rank 0 by what a function makes of their values, or take them away."""
    part = path / "rank-0" / "ops.parquet"
    table = pq.read_table(part)
    for name, change in columns.items():
        index = table.schema.get_field_index(name)
        if change is None:
            table = table.remove_column(index)
        else:
            kind = table.schema.field(index).type
            values = pa.array(change(table[name].to_pylist()))
            values = values.cast(kind) if values.type != pa.bool_() else values
            table = table.set_column(index, name, values)
    assert RUN_KEY in table.schema.metadata
    pq.write_table(table, part)


def change_lines(path: Path, change: Callable[[list[Any]], list[Any]]) -> None:
    """Replace the lines of rank 0, parsed, after the first."""
    part = path / "rank-0" / "ops.jsonl"
    first, *rest = map(json.loads, part.read_text().splitlines())
    part.write_text("".join(json.dumps(line) + "\n" for line in [first, *change(rest)]))


def test_parquet_with_other_columns_is_refused(record: Record) -> None:
    """The message names the first that is missing or of another type."""
    path = record()
    change_parquet(path, layer=None)
    with pytest.raises(TraceError, match="column 'layer' is missing; expected int32"):
        read(path)
    change_parquet(path, step=lambda values: [value > 0 for value in values])
    with pytest.raises(TraceError, match="column 'step' is bool; expected int32"):
        read(path)


def test_lines_with_other_columns_are_refused(record: Record) -> None:
    """The first line says which there are."""
    path = record(closed=False)
    part = path / "rank-0" / "ops.jsonl"
    part.write_text(part.read_text().replace('"host_s"', '"cpu_s"'))

    with pytest.raises(TraceError, match="line 1 is not the header of rank 0 with the columns seq"):
        read(path)


def at(row: int, value: object) -> Callable[[list[Any]], list[Any]]:
    """A column with one value replaced."""
    return lambda values: [*values[:row], value, *values[row + 1 :]]


# Rank 0's rows: 0 embed (step -1), 1 compute, 2 all_gather, 3 wait for 2, 4 shift, 5 wait for 4 ...
ROWS: list[tuple[str, int, object, str]] = [
    ("seq", 2, 1, "row 2: seq is 1; expected every number from 0 on, once and in order"),
    ("seq", 4, 99, "row 4: seq is 99"),
    ("kind", 1, "collect", "row 1: kind is collect; expected one of compute, wait, send"),
    ("bytes", 2, -1, "row 2: bytes is -1; expected 0 or more"),
    ("wire_bytes", 2, -8, "row 2: wire_bytes is -8"),
    ("start_s", 1, math.nan, "row 1: start_s is nan|column start_s lacks a value"),
    ("start_s", 1, -0.5, "row 1: start_s is -0.5; expected a time from 0"),
    ("end_s", 3, 0.0, "row 3: end_s is 0.0; expected no time before start_s"),
    ("end_s", 3, None, "row 3: end_s is nan; expected a time; only a transfer may lack its end"),
    ("end_s", 2, math.inf, "row 2: end_s is inf"),
    ("cost_s", 1, -1.0, "row 1: cost_s is -1.0"),
    ("cost_s", 1, math.inf, "row 1: cost_s is inf; expected a time from 0"),
    ("cost_s", 1, None, "row 1: cost_s is nan; expected a time, as every compute has one"),
    ("host_s", 1, -1.0, "row 1: host_s is -1.0"),
    ("host_s", 1, None, "column host_s lacks a value"),
    ("name", 1, None, "column name lacks a value"),
    ("step", 1, 3, "row 1: step is 3; expected one of the run's steps"),
    ("step", 1, -2, "row 1: step is -2"),
    ("layer", 1, -2, "row 1: layer is -2"),
    ("dst", 4, 2, "row 4: dst is 2; expected one of the run's ranks"),
    ("src", 4, -3, "row 4: src is -3"),
    ("kind", 2, "send", "row 2: dst is -1; expected the rank that is sent to"),
    ("kind", 2, "recv", "row 2: src is -1; expected the rank that is received from"),
    ("dst", 4, -1, "row 4: dst is -1; expected the rank that is sent to"),
    ("src", 4, -1, "row 4: src is -1; expected the rank that is received from"),
    ("stream", 1, "world", "row 1: stream is world; expected .compute. for compute and wait"),
    ("stream", 2, "compute", "row 2: stream is compute"),
    ("group", 2, "0,2", "row 2: group is 0,2; expected ranks of the run in rising order"),
    ("group", 2, "1,0", "row 2: group is 1,0; expected ranks of the run in rising order"),
    ("stream", 2, "", "expected a stream's name"),
    ("group", 2, "0,0", "row 2: group is 0,0"),
    ("group", 2, "all", "row 2: group is all"),
    ("group", 2, "", "row 2: group is ; expected the ranks of the transfer's communicator"),
    ("group", 2, "1", "row 2: group is 1; expected the row's own rank among them"),
    ("group", 4, "0", "row 4: dst is 1; expected one of the ranks of the transfer's group"),
    ("shape", 2, "2x1:float33", "row 2: shape is 2x1:float33; expected one tensor's"),
    ("shape", 2, "2:int32,none", "row 2: shape is 2:int32,none; expected one tensor's"),
    ("shape", 2, "8", "row 2: shape is 8; expected one tensor's"),
    ("shape", 2, "9" * 18 + "x10:int8", "row 2: shape is 9+x10:int8; expected one tensor's"),
    ("shape", 2, "1:float32", "row 2: bytes is 8; expected what the shape says; of a recv, 0"),
    ("parts", 2, "4,4", "row 2: parts is 4,4; expected none, as only an all_to_all has parts"),
    ("waits_for", 3, 99, "row 3: waits_for is 99; expected the seq of an earlier transfer"),
    ("waits_for", 3, -1, "row 3: waits_for is -1"),
    ("waits_for", 3, 1, "row 3: waits_for is 1"),
    ("waits_for", 3, 4, "row 3: waits_for is 4"),
    ("waits_for", 2, 0, "row 2: waits_for is 0; expected -1, as only a wait waits"),
]


@pytest.mark.parametrize(("column", "row", "value", "message"), ROWS)
def test_a_row_that_makes_no_sense_is_named(
    record: Record, column: str, row: int, value: object, message: str
) -> None:
    """In Parquet and in lines alike, with its file, its number and its column."""
    path = record()
    change_parquet(path, **{column: at(row, value)})
    with pytest.raises(TraceError, match=rf"rank-0.ops\.parquet: .*({message})"):
        read(path)
    with pytest.raises(TraceError, match=message):
        list(Trace.open(path).scan(batch_rows=2))
    shutil.rmtree(path)

    path = record(closed=False)
    change = at(ROW.index(column), value)
    change_lines(path, lambda lines: at(row, change(lines[row]))(lines))
    with pytest.raises(TraceError, match=rf"rank-0.ops\.jsonl: .*({message})"):
        read(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda lines: [lines[0][:-1], *lines[1:]], "line 2 is damaged; expected a row of 18"),
        (at(1, [1.5] * 18), "column seq: expected int32"),
        (at(1, ["1"] * 18), "column seq: expected int32"),
        (at(0, {"start": 1}), "line 2 is damaged; expected a row, an end"),
        (at(0, {"end": [-1, 0.0]}), "line 2 is damaged"),
        (at(0, {"end": [1, "soon"]}), "line 2 is damaged"),
        (at(0, 17), "line 2 is damaged"),
        (at(0, {"run": "0123456789abcdef"}), "line 2 is damaged"),
        (lambda lines: [*lines, lines[-1]], "completion of a later step"),
        (lambda lines: lines[1:], "row 0: seq is 1"),
        (lambda lines: [lines[0], *lines], "row 1: seq is 0"),
    ],
)
def test_lines_that_are_none_of_ours_are_named(
    record: Record, change: Callable[[list[Any]], list[Any]], message: str
) -> None:
    """Lines of another form, and values of another type."""
    path = record(closed=False)
    change_lines(path, change)

    with pytest.raises(TraceError, match=message):
        read(path)


@pytest.mark.parametrize("value", [True, "1", 1.5, [1], 2**70])
def test_a_column_of_another_type_is_named(record: Record, value: object) -> None:
    """All its values alike, so that they would fit another type well."""
    path = record(closed=False)

    def change(lines: list[Any]) -> list[Any]:
        return [at(5, value)(line) if isinstance(line, list) else line for line in lines]

    change_lines(path, change)
    with pytest.raises(TraceError, match="column layer"):
        read(path)


def test_only_the_columns_asked_for_are_checked(record: Record) -> None:
    """A scan of bytes does not read the times."""
    path = record()
    change_parquet(path, start_s=at(1, -1.0))

    trace = Trace.open(path)
    assert sum(len(rows) for rows in trace.scan(["bytes"])) == 30
    with pytest.raises(TraceError, match="start_s is -1"):
        list(trace.scan(["start_s"]))


def test_a_list_of_problems_that_is_none_is_refused(record: Record) -> None:
    """The file is ours too."""
    path = record()
    (path / "problems.json").write_text('{"a": 1}')

    with pytest.raises(TraceError, match=r"problems\.json: expected a list of sentences"):
        read(path)


def test_rows_in_memory_of_a_rank_that_the_run_does_not_have_are_refused(
    run: Run, whole: Trace
) -> None:
    """As they would be on disk."""
    with pytest.raises(TraceError, match="rows of rank 5; the run has 2 ranks"):
        list(Trace(run, whole.ops.assign(rank=5)).scan())
