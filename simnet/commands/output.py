"""What commands print: tables for people, JSON for machines, progress on stderr meanwhile."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.measure import Measurement
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from simnet.commands.console import Terminal
from simnet.drivers.observer import Observer
from traces.operation import Operation
from traces.partial import common_steps
from traces.summary import RankSummary, Summary
from traces.trace import Trace
from traces.units import format_bytes, format_s

_PIPE_WIDTH = 160
_NARROW = 32  # columns with nothing longer are not wrapped, others no narrower

Item = TypeVar("Item")


def open_trace(path: Path) -> Trace:
    """As Trace.open; says on stderr what the trace lacks."""
    trace = Trace.open(path)
    say_what_is_missing(path, trace.problems)
    return trace


def open_common(path: Path) -> Trace:
    """The steps that all ranks completed, of a trace that lacks anything; says so on stderr."""
    trace = open_trace(path)
    if not trace.problems:
        return trace
    common = common_steps(trace)
    say_what_is_missing(path, [line for line in common.problems if line not in trace.problems])
    if common.run.steps < trace.run.steps:
        _warn(f"{path}: using the first {common.run.steps} of {trace.run.steps} steps")
    return common


def say_what_is_missing(path: Path, problems: Iterable[str]) -> None:
    """On stderr, a line each."""
    for problem in problems:
        _warn(f"{path}: incomplete: {problem}")


def _warn(text: str) -> None:
    Console(stderr=True).print(Text(text, style="yellow"), soft_wrap=True)


def print_json(value: object) -> None:
    """On stdout, as one document; floats with all their digits."""
    print(json.dumps(value, indent=2, allow_nan=False))


def print_table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """On stdout; columns after the first are set flush right where they hold numbers."""
    table = Table(title=Text(title), title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    for number, column in enumerate(columns):
        cells = [str(row[number]) for row in rows]
        longest = max(map(len, [*column.splitlines(), *cells]))
        table.add_column(
            column,
            justify="right" if number and all(map(_numeric, cells)) else "left",
            min_width=min(longest, _NARROW),
            no_wrap=longest <= _NARROW,
            overflow="fold",
        )
    for row in rows:
        table.add_row(*(Text(str(cell)) for cell in row))
    console = _terminal()
    # Rather than lose digits, a table is wider than the terminal, which then wraps its lines.
    least = Measurement.get(console, console.options.update(max_width=sys.maxsize), table).minimum
    console.width = max(console.width, least)
    console.print(table)


def _terminal() -> Terminal:
    """Into a pipe or a file, tables are as wide as they like."""
    told = (sys.stdout is not None and sys.stdout.isatty()) or "COLUMNS" in os.environ
    return Terminal(width=None if told else _PIPE_WIDTH)


def _numeric(cell: str) -> bool:
    return cell[:1].isdigit() or cell in ("", "-")


def report(
    summary: Summary,
    *,
    as_json: bool,
    more: Mapping[str, Any] | None = None,
    extent: str | None = None,
) -> None:
    """A run's total and where it went, for people or for machines.

    `more` joins the JSON; `extent` says in the headline how much of the run there is, by default
    all of it.
    """
    if as_json:
        print_json(summary.to_json() | dict(more or {}))
        return
    extent = extent or f"{summary.world} ranks, {summary.steps} steps"
    title = (
        f"{summary.model}, {summary.schedule}, {extent} on {summary.network}: "
        f"{format_s(summary.total_s)} ({summary.evidence})"
    )
    lines: list[tuple[str, Summary | RankSummary]] = [("all", summary)]
    lines += [(str(rank.rank), rank) for rank in summary.ranks]
    print_table(
        title,
        ("rank", "total", "compute", "exposed", "host", "hidden", "payload", "on the wire"),
        [(name, *_cells(line)) for name, line in lines],
    )


def _cells(line: Summary | RankSummary) -> list[str]:
    times = (line.total_s, line.compute_s, line.exposed_s, line.host_s, line.hidden_s)
    return [*map(format_s, times), format_bytes(line.bytes), format_bytes(line.wire_bytes)]


class _Steps(Observer):
    """Moves a progress bar on at each step of rank 0."""

    def __init__(self, reach: Callable[[int], None]) -> None:
        self.reach = reach

    def step_done(self, rank: int, step: int, operations: Sequence[Operation]) -> None:
        """See Observer."""
        del operations
        if rank == 0:
            self.reach(step + 1)


@contextmanager
def step_progress(text: str, steps: int) -> Iterator[Observer]:
    """A progress bar over the steps of a run."""
    with _bar(text, steps, "steps") as reach:
        yield _Steps(reach)


def with_progress(text: str, items: Iterable[Item], total: int) -> Iterator[Item]:
    """The same items, which take their time to make, under a progress bar."""
    with _bar(text, total, "points") as reach:
        for number, item in enumerate(items, start=1):
            reach(number)
            yield item


@contextmanager
def _bar(text: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
    """A progress bar on stderr, gone when done; nothing where stderr is no terminal."""
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    with Progress(
        *columns,
        TextColumn(unit),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    ) as progress:
        task = progress.add_task(text, total=total)
        yield lambda completed: progress.update(task, completed=completed)
