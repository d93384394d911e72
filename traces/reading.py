"""A trace's folder as it is found: its header, what there is of each rank, and what is lost."""

from __future__ import annotations

import json
import re
import reprlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from traces.check import Checker
from traces.clocks import RankClock
from traces.errors import TraceError
from traces.part import Part, Recording, find
from traces.run import Run

if TYPE_CHECKING:
    import pandas as pd

HEADER = "run.json"
#: Only in a trace that was saved with problems: their list.
PROBLEMS = "problems.json"
#: In a rank's folder: its clock beside rank 0's, and what it says went wrong while recording.
CLOCK, NOTE = "clock.json", "note.txt"
#: More of a note is not read.
_NOTE_BYTES = 4096


def header(folder: Path) -> Run:
    """What was run. Raises TraceError where the folder is no trace, naming the field."""
    if not folder.is_dir():
        found = "is a file" if folder.exists() else "does not exist"
        raise TraceError(f"{folder}: {found}; expected a folder with a trace")
    path = folder / HEADER
    if not path.is_file():
        raise TraceError(f"{folder}: there is no {HEADER}, so this is not a thinwire trace")
    return Run.from_json(_json(path), str(path))


def parts(folder: Path, run: Run) -> dict[int, Part]:
    """By rank, what was recorded; `run` says how many ranks there may be.

    Raises TraceError for damage, for a part of another recording, and where there are no rows.
    """
    found = {}
    recorded = header(folder)  # not `run`: that is another where steps were cut away
    for rank, path in rank_folders(folder).items():
        if rank >= run.ranks:
            raise TraceError(f"{path}: {HEADER} says that there are {run.ranks} ranks")
        part = find(path, rank, recorded.schema)
        if part is not None:
            _same_run(part, recorded.identity)
            found[rank] = part
    if not any(part.rows for part in found.values()):
        raise TraceError(f"{folder}: the trace is empty: no rank has completed a step")
    return found


def counted(run: Run, parts: Mapping[int, Part]) -> Run:
    """The header with the number of steps: where it leaves that open, of the rank with most."""
    most = max((part.steps for part in parts.values()), default=0)
    return run if run.steps else replace(run, steps=max(most, 1))


def clocks(parts: Mapping[int, Part]) -> dict[int, RankClock]:
    """By rank, its clock, where there is one. Raises TraceError for a damaged file."""
    paths = {rank: part.path.with_name(CLOCK) for rank, part in parts.items()}
    return {
        rank: RankClock.from_json(_json(path), str(path))
        for rank, path in paths.items()
        if path.exists()
    }


def _same_run(part: Part, identity: str) -> None:
    if part.run == identity:
        return
    its = "no run that it names" if part.run is None else f"run {reprlib.repr(part.run)}"
    raise TraceError(
        f"{part.path}: is of {its}, but {part.path.parent.parent / HEADER} is of run "
        f"{identity!r}: the part belongs to another recording, or {HEADER} was edited; bring "
        "together again what was recorded together"
    )


def problems(folder: Path, run: Run, parts: Mapping[int, Part]) -> tuple[str, ...]:
    """What is lost, a sentence each."""
    earlier: list[str] = []
    if (folder / PROBLEMS).exists():
        earlier = _json(folder / PROBLEMS)
        if not isinstance(earlier, list) or not all(isinstance(line, str) for line in earlier):
            raise TraceError(f"{folder / PROBLEMS}: expected a list of sentences")
    open_ended = not header(folder).steps
    now = [
        line
        for rank in range(run.ranks)
        for line in _lost(rank, parts.get(rank), run.steps, open_ended=open_ended)
    ]
    return tuple(dict.fromkeys([*earlier, *now]))


def _lost(rank: int, part: Part | None, steps: int, *, open_ended: bool) -> Iterator[str]:
    if part is None:
        yield f"rank {rank}: no part was recorded"
        return
    if part.steps < steps:
        yield f"rank {rank}: recording ended after {part.steps} of {steps} steps"
    elif open_ended and isinstance(part, Recording):
        yield (
            f"rank {rank}: the recording was never closed; what came after its {part.steps} "
            "steps is lost"
        )
    if note := _note(part.path.with_name(NOTE)):
        yield f"rank {rank}: {note}"
    if part.unended:
        yield unended(rank, part.unended)


def _note(path: Path) -> str:
    """What was written there while recording, on one line."""
    try:
        with path.open("rb") as file:
            return " ".join(file.read(_NOTE_BYTES).decode(errors="replace").split())
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise TraceError(f"{path}: cannot be read: {error.strerror}") from error


def unended(rank: int, transfers: int) -> str:
    """The sentence for transfers that were asked for, and nobody saw complete."""
    many = f"{transfers} transfers were" if transfers > 1 else "1 transfer was"
    return f"rank {rank}: {many} never seen to end"


def file_name(step: int) -> str:
    """Of the activations that a rank kept in a step."""
    return f"step-{step:05}.safetensors"


def reduced_name(step: int) -> str:
    """Of what a rank reduced in a step, see traces.reduced."""
    return f"reduced-{step:05}.safetensors"


def kept_files(
    parts: Mapping[int, Part], steps: int, name: Callable[[int], str] = file_name
) -> Iterator[tuple[int, int, Path]]:
    """(rank, step, path) of the files that there are of complete steps, up to the run's last."""
    for rank, part in parts.items():
        for step in range(min(part.steps, steps)):
            path = part.path.with_name(name(step))
            if path.exists():
                yield rank, step, path


def batches(
    run: Run, parts: Mapping[int, Part], columns: Sequence[str], rows: int
) -> Iterator[pd.DataFrame]:
    """Checked rows from disk on the common time axis, at most so many of one rank at a time."""
    own = clocks(parts)
    for rank, part in parts.items():
        check = Checker(run, rank, str(part.path))
        for batch in part.batches(columns, rows):
            frame = batch.to_pandas()
            if rank in own:
                frame = own[rank].common(frame)
            check(frame)
            yield frame


def slices(
    run: Run, ops: pd.DataFrame, columns: Sequence[str], rows: int
) -> Iterator[pd.DataFrame]:
    """Checked rows from memory, at most so many of one rank at a time."""
    if ops.empty:
        raise TraceError("the trace is empty: it has no operations")
    ranks, first = np.unique(ops["rank"], return_index=True)
    for rank, start, stop in zip(ranks, first, [*first[1:], len(ops)], strict=True):
        if not 0 <= rank < run.ranks:
            raise TraceError(f"the table has rows of rank {rank}; the run has {run.ranks} ranks")
        check = Checker(run, int(rank), f"rank {rank}")
        for low in range(start, stop, rows):
            frame = ops.iloc[low : min(low + rows, stop)][list(columns)]
            check(frame)
            yield frame


def rank_folders(folder: Path) -> dict[int, Path]:
    """The folders that are named like a rank's, in order of rank."""
    named = {path: re.fullmatch(r"rank-(0|[1-9][0-9]*)", path.name) for path in folder.iterdir()}
    return dict(sorted((int(match[1]), path) for path, match in named.items() if match))


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise TraceError(f"{path}: is not JSON; the file is damaged or foreign") from error
    except OSError as error:
        raise TraceError(f"{path}: cannot be read: {error.strerror}") from error
