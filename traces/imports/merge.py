"""Rows of all ranks, each from a file of its own, as one Trace."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from traces.check import Checker
from traces.errors import TraceError
from traces.imports.text import plain
from traces.operation import Operation, table
from traces.run import Run
from traces.trace import Trace
from traces.versions import versions

if TYPE_CHECKING:
    from collections.abc import Iterable

#: What a reader had to guess, counted per rank, and how to say so.
DOUBTS: dict[str, str] = {
    "waits": "the file does not say where {n} asynchronous transfers are waited for; taken to be "
    "where they are first seen complete",
    "blocks": "the file does not say whether {n} transfers block; taken to",
    "uses": "the file does not say where {n} transfers are waited for that do not block; taken to "
    "be before the first operator that gets their tensor",
    "roots": "the file does not say which rank is the root of {n} collectives; taken to be the "
    "group's first",
    "groups": "the file does not say which of several groups {n} transfers are of; taken to be the "
    "first that fits",
    "sizes": "{n} transfers have no sizes, as without record_shapes; they count as 0 bytes",
    "empty": "{n} transfers have no comm_size, or 0; they count as 0 bytes",
    "types": "the file does not say of what type {n} transfers are; taken to be that of the one "
    "before",
    "calls": "{n} calls of torch.distributed were not understood and are left out",
    "threads": "{n} calls of torch.distributed by other threads than the main one are left out",
    "lost": "{n} nodes of a kind that does not matter here were left out",
    "times": "the file has no times: all its operations take none",
}


def doubts(rank: int, counted: Mapping[str, int]) -> Iterable[str]:
    """A sentence for each."""
    return [f"rank {rank}: {DOUBTS[key].format(n=n)}" for key, n in sorted(counted.items()) if n]


def shift(rows: Mapping[int, Sequence[Operation]], origins_s: Mapping[int, float]) -> None:
    """Times from the earliest row of any rank on; `rows` count from their rank's origin."""
    first_s = min(
        (origins_s[rank] + row.start_s for rank, some in rows.items() for row in some[:1]),
        default=0.0,
    )
    for rank, some in rows.items():
        later_s = origins_s[rank] - first_s
        if some:  # nobody knows what the rank did before
            some[0].host_s = 0.0
        for row in some:
            row.start_s = max(0.0, row.start_s + later_s)
            row.end_s = (
                row.end_s if row.end_s != row.end_s else max(row.start_s, row.end_s + later_s)
            )


def merge(
    run: Run,
    rows: Mapping[int, Sequence[Operation]],
    problems: Iterable[str],
    files: Mapping[int, Path],
) -> Trace:
    """The trace of all ranks' rows; `files`: where each rank's are from.

    Raises TraceError, naming the file, where there are none or one makes no sense.
    """
    if not any(rows.values()):
        raise TraceError(
            f"{next(iter(files.values()))}: holds no compute and no transfer of those it should"
        )
    ops = table(chain.from_iterable(rows[rank] for rank in sorted(rows)))
    for rank, some in ops.groupby("rank"):
        number = int(str(rank))
        if number >= run.ranks:
            raise TraceError(f"{files[number]}: is of rank {number} of a run of {run.ranks} ranks")
        Checker(run, number, str(files[number]))(some)
    return Trace(run, ops, problems)


def header(driver: str, ranks: int, steps: int, *, model: str, **rest: str) -> Run:
    """Of an imported trace."""
    return Run(
        model=plain(model),
        schedule="imported",
        ranks=ranks,
        steps=steps,
        driver=driver,
        device=plain(rest.get("device", "unknown")),
        network=plain(rest.get("network", "unknown")),
        dtype=rest.get("dtype", "float32"),
        versions=versions(),
        started=rest.get("started", ""),
    )


def started(origin_ns: float) -> str:
    """ISO 8601 in UTC; "" for what is no time of day, as a clock that counts from booting."""
    try:
        when = datetime.fromtimestamp(origin_ns / 1e9, UTC)
    except (OverflowError, OSError, ValueError):
        return ""
    return when.isoformat() if when.year > 2000 else ""


def usual_type(rows: Mapping[int, Sequence[Operation]]) -> str:
    """That of most transfers; float32 where none is known."""
    types = Counter(
        row.shape.rpartition(":")[2]
        for some in rows.values()
        for row in some
        if row.shape and row.stream != "compute"
    )
    return types.most_common(1)[0][0] if types else "float32"
