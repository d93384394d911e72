"""What commands print: tables for people, JSON for machines, progress on stderr meanwhile."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from simnet.drivers.observer import Observer
from traces.operation import Operation
from traces.summary import RankSummary, Summary
from traces.units import format_bytes, format_s

_PIPE_WIDTH = 160
_NARROW = 32  # columns with nothing longer are not wrapped


def print_json(value: object) -> None:
    """On stdout, as one document; floats with all their digits."""
    print(json.dumps(value, indent=2, allow_nan=False))


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """On stdout; columns after the first are set flush right where they hold numbers."""
    table = Table(title=title, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    for number, column in enumerate(columns):
        cells = [str(row[number]) for row in rows]
        table.add_column(
            column,
            justify="right" if number and all(map(_numeric, cells)) else "left",
            no_wrap=all(len(cell) <= _NARROW for cell in cells),
            overflow="fold",
        )
    for row in rows:
        table.add_row(*map(str, row))
    # Into a pipe or a file, tables are as wide as they like.
    Console(width=None if sys.stdout.isatty() else _PIPE_WIDTH).print(table)


def _numeric(cell: str) -> bool:
    return cell[:1].isdigit() or cell in ("", "-")


def report(summary: Summary, *, as_json: bool, more: Mapping[str, Any] | None = None) -> None:
    """A run's total and where it went, for people or for machines."""
    if as_json:
        print_json(summary.to_json() | dict(more or {}))
        return
    title = (
        f"{summary.model}, {summary.schedule}, {summary.world} ranks, {summary.steps} steps on "
        f"{summary.network}: {format_s(summary.total_s)} ({summary.evidence})"
    )
    lines: list[tuple[str, Summary | RankSummary]] = [("all", summary)]
    lines += [(str(rank.rank), rank) for rank in summary.ranks]
    print_table(
        title,
        ("rank", "total", "compute", "exposed", "host", "hidden", "payload", "on the wire"),
        [(name, *_cells(line)) for name, line in lines],
    )
    for problem in summary.problems:
        Console(stderr=True).print(f"incomplete: {problem}", style="yellow")


def _cells(line: Summary | RankSummary) -> list[str]:
    times = (line.total_s, line.compute_s, line.exposed_s, line.host_s, line.hidden_s)
    return [*map(format_s, times), format_bytes(line.bytes), format_bytes(line.wire_bytes)]


class _Steps(Observer):
    """Moves a progress bar on at each step of rank 0."""

    def __init__(self, progress: Progress, text: str, steps: int) -> None:
        self.progress = progress
        self.task = progress.add_task(text, total=steps)

    def step_done(self, rank: int, step: int, operations: Sequence[Operation]) -> None:
        """See Observer."""
        del operations
        if rank == 0:
            self.progress.update(self.task, completed=step + 1)


@contextmanager
def step_progress(text: str, steps: int) -> Iterator[Observer]:
    """A progress bar on stderr, gone when done; nothing where stderr is no terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns,
        TextColumn("steps"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        yield _Steps(progress, text, steps)
