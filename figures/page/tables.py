"""The tables of a page: what each run took, by rank, step, layer and operation."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

import pandas as pd

from analysis.critical_path import shares_by_kind_and_line
from analysis.extent import extent
from analysis.overlap import overlap
from figures.page.grid import Grid, grid
from traces.errors import InputError
from traces.summary import RankSummary, summarize

if TYPE_CHECKING:
    from figures.page.subject import Subject
    from traces.trace import Trace

Subjects = Mapping[str, "Subject"]
_TOTALS = (
    *("trace", "evidence", "total_s", "speedup", "exposed_share"),
    *("compute_s", "exposed_s", "host_s", "hidden_s", "bytes", "wire_bytes"),
    *("world", "network", "device", "schedule"),
)


def totals(subjects: Subjects) -> pd.DataFrame:
    """A row for each trace: its total, what it is made of, and how it compares with the first.

    speedup is missing where either of the two is not of a whole run.
    """
    table = pd.DataFrame([_row(name, each.trace) for name, each in subjects.items()])
    whole = pd.Series([subject.whole for subject in subjects.values()])
    table["speedup"] = table["total_s"].iloc[0] / table["total_s"].where(whole & whole[0])
    table["exposed_share"] = table["exposed_s"] / table["total_s"]
    return table[list(_TOTALS)]


def _row(name: str, trace: Trace) -> dict[str, Any]:
    return summarize(trace).to_json() | {"trace": name}


def description(subjects: Subjects) -> list[tuple[str, list[str]]]:
    """What was run, on what, and by which versions: a row for each field, a cell for each trace."""
    columns = [_described(subject) for subject in subjects.values()]
    return [(name, [column[name] for column in columns]) for name in columns[0]]


def _described(subject: Subject) -> dict[str, str]:
    run = subject.trace.run
    cells = {
        "times are": run.evidence,
        "model": run.model,
        "schedule": run.schedule,
        "codec": run.codec,
        "extent": extent(subject.trace),
        "images": str(run.images),
        "network": run.network,
        "device": run.device,
        "type of numbers": run.dtype,
        "seed": str(run.seed),
        "driver": run.driver,
        "recorded": run.started or "computed, not recorded",
        "activations kept": ", ".join(subject.trace.kept()) or "none",
    }
    if not subject.whole:
        cells["extent"] += f" (of {subject.steps} that there were to be)"
    versions = ", ".join(f"{name} {version}" for name, version in run.versions.items())
    return cells | {"versions": versions or "–"}


def grids(subjects: Subjects) -> Iterator[Grid]:
    """The tables, in the order of a page."""
    yield grid(
        "totals",
        "Totals",
        "Times are of the rank that finishes last; bytes are sums over ranks. "
        "total = compute + exposed + host; hidden transfers take no time of their own.",
        totals(subjects),
    )
    for key, title, sentence, of_one in _BREAKDOWNS:
        if frames := list(_each(subjects, of_one)):
            yield grid(key, title, sentence, pd.concat(frames, ignore_index=True))


def _each(subjects: Subjects, of_one: Callable[[Trace], pd.DataFrame]) -> Iterator[pd.DataFrame]:
    """Of those traces for which there is one."""
    for name, subject in subjects.items():
        try:
            frame = of_one(subject.trace).reset_index(drop=True)
        except InputError:
            continue
        frame.insert(0, "trace", name)
        frame.insert(1, "evidence", subject.trace.run.evidence)
        yield frame


def _by_rank(trace: Trace) -> pd.DataFrame:
    columns = [field.name for field in fields(RankSummary)]
    return pd.DataFrame(summarize(trace).to_json()["ranks"], columns=columns)


def _by_step(trace: Trace) -> pd.DataFrame:
    return overlap(trace).groupby("step").sum().reset_index()


def _by_layer(trace: Trace) -> pd.DataFrame:
    return overlap(trace).groupby("layer").sum().reset_index()


def _by_operation(trace: Trace) -> pd.DataFrame:
    timed = trace.ops.assign(length_s=trace.ops["end_s"] - trace.ops["start_s"])
    sums: dict[str, Any] = {
        "count": ("seq", "size"),
        "in_all_s": ("length_s", "sum"),
        "mean_s": ("length_s", "mean"),
        "longest_s": ("length_s", "max"),
        "bytes": ("bytes", "sum"),
        "wire_bytes": ("wire_bytes", "sum"),
    }
    table: pd.DataFrame = timed.groupby(["stream", "kind", "name"]).agg(**sums).reset_index()
    return table


_BREAKDOWNS = (
    (
        "critical-path",
        "Critical path",
        "What each run's length is made of, followed back from its end: shorten this to be faster.",
        shares_by_kind_and_line,
    ),
    ("ranks", "By rank", "Each rank's own time and bytes.", _by_rank),
    (
        "steps",
        "By step",
        "Summed over ranks. Waits count where they happen, transfers where they were asked for.",
        _by_step,
    ),
    (
        "layers",
        "By layer",
        "Summed over ranks and steps; layer -1 is outside the blocks.",
        _by_layer,
    ),
    (
        "operations",
        "By operation",
        "Summed over ranks, steps and layers. Transfers last from when they were asked for.",
        _by_operation,
    ),
)
