"""Every part of a trace says which recording it is of, so that parts of two cannot be mixed."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from traces.errors import TraceError
from traces.part import RUN_KEY
from traces.partial import common_steps
from traces.run import Run
from traces.store import PartWriter
from traces.trace import Trace

Record = Callable[..., Path]
RECORDED = "2026-01-31T12:00:00.000001+00:00"


def edit(folder: Path, **fields: object) -> None:
    """Change fields of run.json, by hand."""
    path = folder / "run.json"
    path.write_text(json.dumps(json.loads(path.read_bytes()) | fields))


def test_an_identity_is_that_of_everything_in_the_header(run: Run) -> None:
    """The hash of its JSON, whatever the order of names; another moment is another recording."""
    text = json.dumps(run.to_json(), sort_keys=True, separators=(",", ":"))
    backwards = dict(reversed(run.to_json().items()))

    assert run.identity == hashlib.sha256(text.encode()).hexdigest()[:16]
    assert Run.from_json(backwards, "").identity == run.identity
    assert replace(run, started=RECORDED).identity != run.identity
    assert replace(run, versions={"python": "4"}).identity != run.identity


def test_parts_say_what_run_they_are_of(record: Record, run: Run) -> None:
    """The lines in their header, the table in its metadata."""
    path = record((3,), closed=False)
    line = (path / "rank-0" / "ops.jsonl").read_text().splitlines()[0]
    PartWriter(path, 1).close()

    assert json.loads(line)["run"] == run.identity
    metadata = pq.read_schema(path / "rank-1" / "ops.parquet").metadata
    assert metadata[RUN_KEY] == run.identity.encode()


@pytest.fixture
def two(record: Record, run: Run, tmp_path: Path) -> Callable[..., tuple[Path, Path]]:
    """Two recordings of one program at different times, closed or not."""

    def write(*, closed: bool) -> tuple[Path, Path]:
        first = record(closed=closed).rename(tmp_path / "first")
        return first, record(closed=closed, run=replace(run, started=RECORDED))

    return write


@pytest.mark.parametrize("closed", [True, False])
def test_a_part_of_another_recording_is_refused(
    two: Callable[..., tuple[Path, Path]], *, closed: bool
) -> None:
    """The same program at another time: the message names both files."""
    first, second = two(closed=closed)
    shutil.rmtree(second / "rank-1")
    shutil.copytree(first / "rank-1", second / "rank-1")

    with pytest.raises(
        TraceError,
        match=r"recorded.rank-1.ops\.(parquet|jsonl): is of run '\w{16}', but .*recorded.run\.json "
        r"is of run '\w{16}': the part belongs to another recording, or run\.json was edited",
    ):
        Trace.open(second)


@pytest.mark.parametrize("closed", [True, False])
def test_a_header_that_was_edited_is_refused(record: Record, *, closed: bool) -> None:
    """Its values, that is; to lay it out anew changes nothing."""
    path = record(closed=closed)
    edit(path)
    assert len(Trace.open(path).ops) > 0

    edit(path, device="a faster one")
    with pytest.raises(TraceError, match=r"rank-0.*run\.json was edited"):
        Trace.open(path)


def test_a_part_that_names_no_run_is_refused(record: Record) -> None:
    """Such as one that another program wrote anew."""
    path = record()
    part = path / "rank-0" / "ops.parquet"
    pq.write_table(pq.read_table(part).replace_schema_metadata(None), part)
    with pytest.raises(TraceError, match=r"ops\.parquet: is of no run that it names, but"):
        Trace.open(path)
    shutil.rmtree(path)

    path = record(closed=False)
    lines = path / "rank-0" / "ops.jsonl"
    first, *rest = lines.read_text().splitlines(keepends=True)
    header = json.loads(first)
    del header["run"]
    lines.write_text("".join([json.dumps(header) + "\n", *rest]))
    with pytest.raises(TraceError, match=r"ops\.jsonl: is of no run that it names, but"):
        Trace.open(path)


@pytest.mark.parametrize("value", [b"", b"\xff\xfe", bytes(4096)])
def test_metadata_that_is_no_identity_is_refused(record: Record, value: bytes) -> None:
    """Not even text."""
    path = record()
    part = path / "rank-0" / "ops.parquet"
    pq.write_table(pq.read_table(part).replace_schema_metadata({RUN_KEY: value}), part)

    with pytest.raises(TraceError, match=r"ops\.parquet: is of run"):
        Trace.open(path)


@pytest.mark.parametrize("value", ["3", "[1]", "{}", "NaN", "null", '"other"'])
def test_a_line_that_names_something_else_is_refused(record: Record, value: str) -> None:
    """Any JSON but the identity."""
    path = record(closed=False)
    lines = path / "rank-0" / "ops.jsonl"
    old = json.dumps(Trace.open(path).run.identity)
    lines.write_text(lines.read_text().replace(old, value, 1))

    with pytest.raises(TraceError, match=r"ops\.jsonl: is of (run|no run)"):
        Trace.open(path)


def test_a_trace_that_is_saved_anew_has_an_identity_of_its_own(
    record: Record, tmp_path: Path
) -> None:
    """Cut to fewer steps, it is of another run than its activations' folder, and says so."""
    cut = common_steps(Trace.open(record((3, 2), closed=False)))
    cut.save(tmp_path / "cut")

    saved = Trace.open(tmp_path / "cut")

    assert saved.run == cut.run
    metadata = pq.read_schema(tmp_path / "cut" / "rank-1" / "ops.parquet").metadata
    assert metadata[RUN_KEY] == cut.run.identity.encode()


def test_when_it_was_recorded_comes_back(record: Record, run: Run) -> None:
    """Simulations, which have no such moment, keep it empty."""
    assert run.started == ""
    assert Trace.open(record(run=replace(run, started=RECORDED))).run.started == RECORDED
