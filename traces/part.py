"""One rank's rows on disk: lines while they are recorded, a Parquet file once closed."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from traces.columns import COLUMNS, SINCE
from traces.errors import TraceError
from traces.run import SCHEMA

LINES = "ops.jsonl"
CLOSED = "ops.parquet"
#: Rows of a Parquet row group, and of what is converted at a time: some 40 MB as Python objects.
GROUP_ROWS = 32768

_ARROW = {"int32": pa.int32(), "int64": pa.int64(), "float64": pa.float64(), "str": pa.string()}
TABLE = pa.schema([(name, _ARROW[dtype]) for name, dtype in COLUMNS.items()])
END = tuple(COLUMNS)[1:].index("end_s")  # in a line
MAY_LACK = ("end_s", "cost_s")
#: Of a Parquet file's schema metadata, the key of Run.identity.
RUN_KEY = b"thinwire.run"


def columns_of(schema: int) -> tuple[str, ...]:
    """Those that a part has that was written with this schema, in order."""
    return tuple(name for name in COLUMNS if SINCE.get(name, 1) <= schema)


def row_of(schema: int) -> tuple[str, ...]:
    """The columns of a line, as its rank is in the first one."""
    return columns_of(schema)[1:]


def header(rank: int, run: object, schema: int = SCHEMA) -> dict[str, Any]:
    """The first line of a recording; `run` is Run.identity."""
    return {"schema": schema, "run": run, "rank": rank, "columns": list(row_of(schema))}


def schema(run: str) -> pa.Schema:
    """Of a Parquet file; `run` is Run.identity."""
    return TABLE.with_metadata({RUN_KEY: run.encode()})


def find(folder: Path, rank: int, schema: int) -> Part | None:
    """What a rank's folder holds; None where no recording was begun.

    Raises TraceError where it is damaged, or not of this schema.
    """
    recording = (folder / LINES).exists()  # asked first: closing puts CLOSED there, then unlinks it
    if (folder / CLOSED).exists():
        return ClosedPart(folder / CLOSED, rank, schema)
    return Recording(folder / LINES, rank, schema) if recording else None


class ClosedPart:
    """A rank's Parquet file.

    `run` is the identity of the run it says it is of, None if it says none. `rows`, `steps` (how
    many there are) and `unended` (transfers never seen to end) are read from its footer.
    """

    def __init__(self, path: Path, rank: int, schema: int = SCHEMA) -> None:
        self.path = path
        self.rank = rank
        self.columns = columns_of(schema)
        with _reading(path), pq.ParquetFile(path) as file:
            _same_columns(path, file.schema_arrow, _some(self.columns))
            groups = [file.metadata.row_group(i) for i in range(file.metadata.num_row_groups)]
            run = (file.schema_arrow.metadata or {}).get(RUN_KEY)
            self.run: object = run if run is None else run.decode(errors="backslashreplace")
            self.rows: int = file.metadata.num_rows
            self.steps = max((self._of(group, "step").max for group in groups), default=-1) + 1
            self.unended = sum(self._of(group, "end_s").null_count for group in groups)

    def _of(self, group: pq.RowGroupMetaData, column: str) -> pq.Statistics:
        found = group.column(self.columns.index(column)).statistics
        if found is None:
            raise TraceError(f"{self.path}: no statistics of {column}; was it written by thinwire?")
        return found

    def batches(self, columns: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        """At most so many rows at a time. Raises TraceError where it meets damage."""
        # Without pre_buffer, which would hold all of the (compressed) file in memory.
        options = {"pre_buffer": False, "page_checksum_verification": True}
        with _reading(self.path), pq.ParquetFile(self.path, **options) as file:
            found = 0
            there = [name for name in columns if name in self.columns] or ["seq"]
            for batch in file.iter_batches(rows, columns=there):
                batch.validate(full=True)  # that text is text
                found += len(batch)
                yield _complete(_filled(batch, columns), str(self.path))
            if found != self.rows:
                raise TraceError(f"{self.path}: has {found} rows, but says that it has {self.rows}")


class Recording:
    """A rank's lines, of a process that was killed or still runs.

    `run`: the identity of the run it says it is of, None if it says none; `rows`: those of
    complete steps, the only ones that are read; `steps`: how many are complete; `unended`:
    transfers among the rows that were never seen to end.
    """

    def __init__(self, path: Path, rank: int, schema: int = SCHEMA) -> None:
        self.path = path
        self.rank = rank
        self.schema = schema
        self.columns = row_of(schema)
        self.rows = self.steps = 0
        self.ends: dict[int, float] = {}  # of transfers that completed after their row was written
        with _reading(path), path.open("rb") as file:
            self._header(file.readline())
            waiting = self._control(file)
        self.unended = sum(seq < self.rows and seq not in self.ends for seq in waiting)

    def _header(self, line: bytes) -> None:
        found = self._parse(line, 1)
        known = found if isinstance(found, dict) else {}
        self.run: object = known.get("run")
        if {"run": None, **known} != header(self.rank, self.run, self.schema):
            raise TraceError(
                f"{self.path}: line 1 is not the header of rank {self.rank} with the columns "
                f"{', '.join(self.columns)}; the recording is foreign or damaged"
            )

    def _control(self, lines: Iterator[bytes]) -> list[int]:
        """Take in the lines that are no rows; gives the rows that have no end."""
        rows, waiting = 0, []
        for number, line in enumerate(lines, 2):
            if not line.endswith(b"\n"):
                break  # torn when the process was killed
            if line.startswith(b"["):
                # Of an unfinished transfer neither end_s nor cost_s, its neighbour, is there.
                if b"null,null" in line and self._parse(line, number)[END] is None:
                    waiting.append(rows)
                rows += 1
            elif self._mark(self._parse(line, number), number):
                self.rows = rows
        return waiting

    def _mark(self, found: object, number: int) -> bool:
        """An end or the completion of a step; true for the latter."""
        match found:
            case {"end": [int(seq), int(end_s) | float(end_s)]} if seq >= 0:
                self.ends[seq] = float(end_s)
                return False
            case {"step_done": int(step)} if step >= self.steps:
                self.steps = step + 1
                return True
        raise self._damage(number, "a row, an end of a transfer, or the completion of a later step")

    def batches(self, columns: Sequence[str], rows: int) -> Iterator[pa.RecordBatch]:
        """At most so many rows at a time. Raises TraceError where it meets damage."""
        with _reading(self.path), self.path.open("rb") as file:
            lines = islice(self._rows(file), self.rows)
            first = 0
            while some := list(islice(lines, rows)):
                yield self._batch(some, first, columns)
                first += len(some)

    def _rows(self, file: Iterator[bytes]) -> Iterator[list[Any]]:
        for number, line in enumerate(file, 1):
            if line.startswith(b"["):
                row = self._parse(line, number)
                if len(row) != len(self.columns):
                    raise self._damage(number, f"a row of {len(self.columns)} columns")
                yield row

    def _batch(self, rows: list[list[Any]], first: int, columns: Sequence[str]) -> pa.RecordBatch:
        for seq, row in enumerate(rows, first):
            if row[END] is None:
                row[END] = self.ends.get(seq)
        values = dict(zip(self.columns, zip(*rows, strict=True), strict=True))
        values["rank"] = (self.rank,) * len(rows)
        where = f"{self.path}: rows {first} to {first + len(rows) - 1}"
        there = [name for name in columns if name in values] or ["rank"]
        arrays = [_array(values[name], name, where) for name in there]
        batch = pa.record_batch(arrays, schema=_some(there))
        return _complete(_filled(batch, columns), where)

    def _parse(self, line: bytes, number: int) -> Any:
        try:
            return json.loads(line)
        except (ValueError, RecursionError) as error:
            raise self._damage(number, "JSON") from error

    def _damage(self, number: int, expected: str) -> TraceError:
        return TraceError(
            f"{self.path}: line {number} is damaged; expected {expected}. "
            "Only the last line may be torn, by the end of the process that wrote it"
        )


Part = ClosedPart | Recording


@contextmanager
def _reading(path: Path) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError, pa.ArrowException) as error:
        reason = "it is empty" if path.is_file() and path.stat().st_size == 0 else error
        raise TraceError(f"{path}: cannot be read: {reason}") from error


def _some(columns: Sequence[str]) -> pa.Schema:
    return pa.schema([TABLE.field(name) for name in columns])


def _filled(batch: pa.RecordBatch, columns: Sequence[str]) -> pa.RecordBatch:
    """These columns of it; those that the part's schema did not have are empty text."""
    if batch.schema.names == list(columns):
        return batch
    empty = pa.array([""] * len(batch), pa.string())
    there = dict(zip(batch.schema.names, batch.columns, strict=True))
    arrays = [there.get(name, empty) for name in columns]
    return pa.record_batch(arrays, schema=_some(columns))


def _same_columns(path: Path, found: pa.Schema, table: pa.Schema) -> None:
    if found.equals(table):
        return
    for name in dict.fromkeys([*table.names, *found.names]):
        here, expected = (s.field(name).type if name in s.names else None for s in (found, table))
        if here != expected:
            raise TraceError(
                f"{path}: column {name!r} is {here or 'missing'}; expected {expected or 'none'}"
            )
    raise TraceError(f"{path}: the columns are not in the order {', '.join(table.names)}")


def _array(values: Sequence[Any], name: str, where: str) -> pa.Array:
    """As Arrow would have it, then cast: a conversion at once would cut 1.5 to 1."""
    kind = TABLE.field(name).type
    try:
        array = pa.array(values)
        if pa.types.is_null(array.type) or _sort(array.type) == _sort(kind):
            return array.cast(kind)
    except (pa.ArrowException, OverflowError) as error:
        raise TraceError(f"{where}: column {name}: expected {kind}: {error}") from error
    raise TraceError(f"{where}: column {name} holds {array.type}; expected {kind}")


def _sort(kind: pa.DataType) -> str:
    number = pa.types.is_integer(kind) or pa.types.is_floating(kind)
    return "number" if number else str(kind)


def _complete(batch: pa.RecordBatch, where: str) -> pa.RecordBatch:
    for name, column in zip(batch.schema.names, batch.columns, strict=True):
        if column.null_count and name not in MAY_LACK:
            raise TraceError(f"{where}: column {name} lacks a value")
    return batch
