"""Writes traces: line by line while a run goes on, so that a killed one is readable, then Parquet.

A trace is a folder:

    run.json                         the run
    rank-0/ops.jsonl                 while recording: a line per operation, see traces.part
    rank-0/ops.parquet               once closed, in its place
    rank-0/step-00003.safetensors    activations kept in step 3, keyed "name/layer"
    rank-0/reduced-00003.safetensors sketches and moments of them, see traces.reduced
    rank-0/clock.json                its clock beside rank 0's, see traces.clocks
    rank-0/note.txt                  what it says went wrong, a sentence
"""

from __future__ import annotations

import json
import math
import re
import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import groupby
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from traces import reading
from traces.columns import COLUMNS
from traces.errors import InputError, TraceError
from traces.files import replacing, writing
from traces.operation import Operation
from traces.part import CLOSED, GROUP_ROWS, LINES, TABLE, Recording, header, schema
from traces.run import SCHEMA, Run
from traces.trace import Trace

if TYPE_CHECKING:
    import pandas as pd
    import torch

#: What a rank's folder may hold of ours.
OURS = re.compile(
    r"(ops\.jsonl|ops\.parquet|clock\.json|note\.txt|step-unfinished\.safetensors|"
    r"(step|reduced)-[0-9]{5,}\.safetensors)(\.tmp)?"
)


def create(path: str | PathLike[str], run: Run, *, overwrite: bool = False) -> None:
    """Begin a trace in a new or an empty folder by writing its header, with the schema of now.

    With `overwrite`, a trace that is there is removed first: its own files, no others. Raises
    InputError where the path is taken, and for anything but a trace also with `overwrite`.
    """
    folder = Path(path)
    if check_free(folder, overwrite=overwrite):
        _clear(folder)
    with writing(folder):
        folder.mkdir(parents=True, exist_ok=True)
    _write_json(folder / reading.HEADER, replace(run, schema=SCHEMA).to_json())


def check_free(folder: Path, *, overwrite: bool) -> bool:
    """Whether a trace there has to be removed first; raises InputError as `create` does."""
    if folder.exists() and not folder.is_dir():
        raise InputError(f"{folder}: is a file; a trace needs a folder")
    if not folder.exists() or not any(folder.iterdir()):
        return False
    if not overwrite:
        raise InputError(
            f"{folder}: exists and is not empty; choose another, or use --overwrite "
            "(in Python overwrite=True)"
        )
    try:
        reading.header(folder)
    except TraceError as error:
        raise InputError(f"{folder}: will not be overwritten, it is no trace: {error}") from error
    return True


def _clear(folder: Path) -> None:
    with writing(folder):
        for part in reading.rank_folders(folder).values():
            for path in part.iterdir():
                if OURS.fullmatch(path.name):
                    path.unlink()
            if not any(part.iterdir()):
                part.rmdir()
        (folder / reading.PROBLEMS).unlink(missing_ok=True)


class PartWriter:
    """Records one rank. What it was given is safe from the end of this process once a step is done.

    `path` is a folder that `create` made; the part says that it belongs to the run.json there.
    Raises InputError where there is none, or the rank is there already.
    """

    def __init__(self, path: str | PathLike[str], rank: int) -> None:
        self.rank = rank
        self.run = reading.header(Path(path)).identity
        self.folder = Path(path) / f"rank-{rank}"
        self.steps = 0
        self.ends: list[bytes] = []  # lines that go to disk with the next step
        lines = self.folder / LINES
        if lines.exists() or (self.folder / CLOSED).exists():
            raise InputError(f"{self.folder}: was recorded already; create the trace anew")
        with writing(lines):
            self.folder.mkdir(exist_ok=True)
            with replacing(lines) as temporary:  # so that no recording lacks its header
                temporary.write_bytes(_line(header(rank, self.run)))

    def end(self, seq: int, end_s: float) -> None:
        """A transfer whose row was written is complete; goes to disk with the next step."""
        self.ends.append(_line({"end": [seq, end_s]}))

    def step_done(
        self, step: int, operations: Sequence[Operation], kept: Mapping[str, torch.Tensor]
    ) -> None:
        """A step's rows and the activations that were kept in it, keyed "name/layer".

        Rows from before the first step come with it. Steps come in order; raises InputError
        where one does not, RunError where the disk is full.
        """
        if step < self.steps:
            raise InputError(f"{self.folder}: step {step} is done after step {self.steps - 1}")
        self.steps = step + 1
        if kept:
            self._keep(step, kept)
        self._write(*map(_row, operations), _line({"step_done": step}))

    def close(self) -> None:
        """Turn the lines into a Parquet file."""
        self._write()
        recording = Recording(self.folder / LINES, self.rank)
        batches = recording.batches(tuple(COLUMNS), GROUP_ROWS)
        _write_parquet(self.folder / CLOSED, self.run, batches)
        recording.path.unlink()

    def _keep(self, step: int, kept: Mapping[str, torch.Tensor]) -> None:
        import torch
        from safetensors.torch import save_file

        # Clones, as two names of one tensor would be refused.
        whole = {
            name: tensor.detach().cpu().clone(memory_format=torch.contiguous_format)
            for name, tensor in kept.items()
        }
        path = self.folder / reading.file_name(step)
        temporary = path.with_name(path.name + ".tmp")
        with writing(path):
            save_file(whole, temporary)
            temporary.replace(path)

    def _write(self, *lines: bytes) -> None:
        path = self.folder / LINES
        # Closed each time: the system then has it, and a run that breaks off leaves nothing open.
        with writing(path), path.open("ab") as file:
            file.writelines([*self.ends, *lines])
        self.ends.clear()


def save(trace: Trace, folder: Path, *, overwrite: bool) -> None:
    """See Trace.save."""
    if trace.folder is not None and folder.resolve() == trace.folder.resolve():
        raise InputError(f"{folder}: a trace cannot be saved into the folder it is read from")
    for _ in trace.scan():
        pass  # checks the rows before anything is removed
    create(folder, trace.run, overwrite=overwrite)
    if trace.problems:
        _write_json(folder / reading.PROBLEMS, list(trace.problems))
    identity = reading.header(folder).identity
    for rank, frames in groupby(
        trace.scan(batch_rows=GROUP_ROWS), lambda rows: rows["rank"].iloc[0]
    ):
        part = folder / f"rank-{rank}"
        with writing(part):
            part.mkdir(exist_ok=True)
        _write_parquet(part / CLOSED, identity, map(_arrow, frames))
    for rank, clock in trace.clocks.items():
        _write_json(folder / f"rank-{rank}" / reading.CLOCK, clock.applied().to_json())
    if trace.folder is not None:
        _copy_kept(trace.folder, folder, trace.run)


def _copy_kept(source: Path, folder: Path, run: Run) -> None:
    parts = reading.parts(source, run)
    for name in (reading.file_name, reading.reduced_name):
        for rank, _, kept in reading.kept_files(parts, run.steps, name):
            with replacing(folder / f"rank-{rank}" / kept.name) as temporary:
                shutil.copyfile(kept, temporary)


def _arrow(rows: pd.DataFrame) -> pa.RecordBatch:
    return pa.RecordBatch.from_pandas(rows, schema=TABLE, preserve_index=False)


def _write_json(path: Path, data: object) -> None:
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(data, indent=1) + "\n")


def _line(data: object) -> bytes:
    return json.dumps(data, separators=(",", ":")).encode() + b"\n"


def _row(operation: Operation) -> bytes:
    """Without the rank; NaN, which JSON lacks, as null."""
    values = operation.values()[1:]
    return _line([None if isinstance(v, float) and math.isnan(v) else v for v in values])


def _write_parquet(path: Path, run: str, batches: Iterable[pa.RecordBatch]) -> None:
    """The same rows of the same run give the same bytes, if they come GROUP_ROWS at a time."""
    options: dict[str, Any] = {"compression": "zstd", "write_page_checksum": True}
    with (
        replacing(path) as temporary,
        pq.ParquetWriter(temporary, schema(run), **options) as writer,
    ):
        for batch in batches:
            writer.write_batch(batch, row_group_size=GROUP_ROWS)
