"""`thinwire sweep`, but for its figure: reads a file, computes what is lacking, says what came."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeRemainingColumn,
)
from rich.text import Text

from simnet.commands.output import print_json, print_table
from simnet.commands.plain import plain
from traces.errors import InputError
from traces.files import replacing, writing
from traces.units import format_rate, format_s

if TYPE_CHECKING:
    from simnet.sweep.best import Best, Drawn
    from simnet.sweep.dataset import Arrays
    from simnet.sweep.design import Design
    from simnet.sweep.running import Counts
    from simnet.sweep.store import Store
    from simnet.sweep.tally import Tally
    from simnet.sweep.workers import Workers

#: Lines of the table that is printed, and of the same in JSON; the rest is in the files.
_LINES, _LINES_JSON = 40, 1000
_REASONS = 5
POINTS, ARRAYS, RESOLVED = "points.parquet", "points.nc", "sweep.toml"


@dataclass(frozen=True, eq=False)
class Request:
    """Where a sweep is computed, what it may find there, and where its results go."""

    jobs: int | None = None
    scheduler: str | None = None
    cache: Path | None = None
    out: Path | None = None

    def __post_init__(self) -> None:
        if self.jobs is not None and self.scheduler is not None:
            raise InputError("--jobs is of this machine; a cluster has as many as it has workers")

    @property
    def folder(self) -> Path:
        """The cache: as given, or where the system keeps such things (XDG Base Directory)."""
        if self.cache is not None:
            return self.cache
        home = Path(os.environ.get("XDG_CACHE_HOME", ""))
        return (home if home.is_absolute() else Path.home() / ".cache") / "thinwire" / "sweeps"


@dataclass(eq=False)
class Swept:
    """A sweep that is done."""

    arrays: Arrays
    tally: Tally
    counts: Counts
    files: list[Path] = field(default_factory=list)


def run(path: Path, request: Request) -> Swept:
    """Compute what the cache lacks of the sweep in a file, under a progress bar, and write it.

    Raises InputError for a file or place that will not do, RunError where workers die.
    """
    from simnet.sweep.design import Design
    from simnet.sweep.reading import read
    from simnet.sweep.running import Runner
    from simnet.sweep.store import Store

    design = Design(read(path))
    for folder in (request.out, request.folder):
        if folder is not None:
            with writing(folder):
                folder.mkdir(parents=True, exist_ok=True)
    store = Store(request.folder, _warn)
    with ExitStack() as stack:
        workers = stack.enter_context(_workers(request))
        advance, total = stack.enter_context(_progress(design.sweep.name))
        runner = Runner(design, store, workers, advance)
        total(runner.distinct)
        counts = runner.run()
    return _written(design, store, counts, request.out)


def _written(design: Design, store: Store, counts: Counts, out: Path | None) -> Swept:
    """Everything once through memory, case by case."""
    from simnet.sweep.dataset import Arrays, save
    from simnet.sweep.resolved import save as save_file
    from simnet.sweep.results import outcomes
    from simnet.sweep.table import PointsFile
    from simnet.sweep.tally import Tally

    swept = Swept(Arrays(design), Tally(), counts)
    takers: list[Callable[[Any], None]] = [swept.arrays.add, swept.tally.add]
    with ExitStack() as stack:
        if out is not None:
            table = PointsFile(stack.enter_context(replacing(out / POINTS)), design)
            stack.callback(table.close)
            takers.append(table.add)
        for outcome in outcomes(design, store):
            for take in takers:
                take(outcome)
    if out is not None:
        save(swept.arrays.dataset(), out / ARRAYS)
        save_file(design.sweep, out / RESOLVED)
        swept.files = [out / name for name in (POINTS, ARRAYS, RESOLVED)]
    return swept


@contextmanager
def _workers(request: Request) -> Iterator[Workers]:
    from simnet.sweep.workers import Cluster, Local

    if request.scheduler is None:
        yield Local(request.jobs)
        return
    cluster = Cluster(request.scheduler)
    try:
        yield cluster
    finally:
        cluster.close()


@contextmanager
def _progress(name: str) -> Iterator[tuple[Callable[[int], None], Callable[[int], None]]]:
    """A bar on stderr with points a second and the time left; nothing where it is no terminal.

    Two functions: so many points more are done, and so many there are.
    """
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
    rest = (TextColumn("points"), _Speed(), TimeRemainingColumn())
    off = not console.is_terminal
    with Progress(*columns, *rest, console=console, transient=True, disable=off) as bar:
        task = bar.add_task(f"sweeping {name}", total=None)
        yield (
            lambda count: bar.advance(task, count),
            lambda total: bar.update(task, total=total),
        )


class _Speed(ProgressColumn):
    """Points a second, of late."""

    def render(self, task: Task) -> Text:
        """See ProgressColumn."""
        return Text("" if task.speed is None else f"{task.speed:.3g} points/s")


def _warn(text: str) -> None:
    Console(stderr=True).print(Text(text, style="yellow"), soft_wrap=True)


def report(swept: Swept, *, as_json: bool) -> None:
    """What is fastest where, how many points there are and what became of them."""
    from simnet.sweep.best import best, drawn

    sweep = swept.arrays.design.sweep
    lines: Iterator[Best | Drawn] = (
        best(swept.arrays) if sweep.drawn is None else drawn(swept.arrays)
    )
    counts = asdict(swept.counts)
    if as_json:
        listed = [line.to_json() for line in islice(lines, _LINES_JSON)]
        summary = {"name": sweep.name, "points": sweep.points, **counts, **swept.tally.to_json()}
        files = [str(path) for path in swept.files]
        print_json(plain({**summary, "evidence": "predicted", "best": listed, "files": files}))
        return
    shown = list(islice(lines, _LINES + 1))
    _print_best(sweep.name, shown[:_LINES])
    if len(shown) > _LINES:
        print(f"and more: all points are in {POINTS}, with --out")
    _print_counts(swept)


def _print_best(name: str, lines: list[Any]) -> None:
    from simnet.sweep.best import Best

    if lines and isinstance(lines[0], Best):
        given = list(lines[0].given)
        rows = [
            (
                *line.given.values(),
                _between(line.from_bps, line.to_bps, format_rate),
                line.choice or "nothing can run",
                _between(line.from_s, line.to_s, format_s),
            )
            for line in lines
        ]
        columns = (*given, "bandwidth", "fastest", "latency")
        print_table(f"{name}: the fastest schedule (predicted)", columns, rows)
        return
    cells = [
        (line.choice, line.points, line.run, *map(_time, (line.median_s, line.fastest_s)))
        for line in lines
    ]
    columns = ("schedule", "points", "can run", "median latency", "least")
    print_table(f"{name}: what was drawn for each schedule (predicted)", columns, cells)


def _between(low: float | None, high: float | None, text: Callable[[float], str]) -> str:
    if low is None or high is None:
        return "-"
    return text(low) if low == high else f"{text(low)} to {text(high)}"


def _time(time_s: float | None) -> str:
    return "-" if time_s is None else format_s(time_s)


def _print_counts(swept: Swept) -> None:
    tally = swept.tally.to_json()
    made = ", ".join(f"{count} {name}" for name, count in tally["evaluators"].items() if count)
    counts = swept.counts
    equal = f", {counts.equal} equal to others" if counts.equal else ""
    print(
        f"{len(swept.arrays.design)} points: computed {counts.computed}, reused {counts.reused}"
        f"{equal}" + (f" ({made})" if made else "")
    )
    if tally["cannot_run"]:
        print(f"{tally['cannot_run']} cannot run:")
        for reason, count in islice(tally["reasons"].items(), _REASONS):
            print(f"  {count}: {reason}")
        if len(tally["reasons"]) > _REASONS:
            print(f"  and {len(tally['reasons']) - _REASONS} more reasons")
    for path in swept.files:
        print(path)
