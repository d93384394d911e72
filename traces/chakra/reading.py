"""Reads Chakra files, one of each rank, into one Trace."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from traces.chakra.foreign import foreign_rows
from traces.chakra.messages import File, Node
from traces.chakra.writing import ROW, RUN
from traces.columns import COLUMNS
from traces.errors import TraceError
from traces.imports import groups, merge, ranks
from traces.imports.rows import Rows
from traces.imports.text import plain
from traces.operation import Operation
from traces.run import Run
from traces.trace import Trace

#: Of one rank; some 500 bytes each are kept.
MOST_NODES = 5_000_000
_NUMBERED = re.compile(r".*\.(\d{1,5})\.et(\.gz)?", re.DOTALL)


def read(files: Sequence[Path], *, model: str = "imported", in_order: bool = False) -> Trace:
    """The trace of Chakra files, each of one rank: `T.3.et` of rank 3, if all are so named.

    Among `files` there may be a JSON file of ASTRA-sim's that says who is in which communicator.
    Files that thinwire wrote give back the rows they were written from. Of others, nodes come in an
    order that their dependencies allow, a transfer is waited for by the first node that depends on
    it, and the clock is that of the nodes' durations. Raises TraceError naming the file and node
    where it is torn, where nodes depend on each other in a circle, or on one that there is not.
    """
    files = ranks.distinct(files)
    traces = [path for path in files if path.suffix != ".json"]
    told = [path for path in files if path.suffix == ".json"]
    numbers = {path: _NUMBERED.fullmatch(path.name) for path in ranks.distinct(traces)}
    named = all(numbers.values()) and not in_order
    said = {path: int(match[1]) if match and named else None for path, match in numbers.items()}
    by_rank = ranks.in_order(traces, said)
    world = max(by_rank) + 1
    known = {name: group for path in told for name, group in _members(path, world).items()}
    headers: set[str] = set()
    problems: list[str] = []
    rows, steps = {}, 1
    for rank, path in by_rank.items():
        file = File(path)
        nodes = _nodes(file)
        if RUN in file.attrs:
            headers.add(str(file.attrs[RUN]))
            rows[rank] = _own_rows(nodes, _own_rank(file, rank), path)
            continue
        headers.add("")
        filled = Rows(rank)
        doubts, found = foreign_rows(nodes, filled, groups.world(world), known, str(path))
        steps = max(steps, found)
        rows[rank] = filled.done
        problems += merge.doubts(rank, doubts)
    where = ", ".join(map(str, traces[:3]))
    if headers != {""}:
        return merge.merge(_own_run(headers, where), rows, problems, by_rank)
    merge.shift(rows, dict.fromkeys(rows, 0.0))
    run = merge.header(
        "chakra", world, steps, model=model, device="as recorded", network="as recorded"
    )
    return merge.merge(run, rows, problems, by_rank)


def _nodes(file: File) -> list[Node]:
    found: list[Node] = []
    for node in file.nodes():
        if len(found) >= MOST_NODES:
            raise TraceError(
                f"{file.path}: has more than {MOST_NODES} nodes, the most that are read"
            )
        found.append(node)
    return found


def _members(path: Path, world: int) -> Mapping[str, groups.Group]:
    """What ASTRA-sim takes as --comm-group-configuration: {"1": [0, 1], ...}."""
    try:
        if path.stat().st_size > 2**24:
            raise TraceError(f"{path}: is too long for a list of communicators")
        data = json.loads(path.read_bytes())
    except (ValueError, RecursionError) as error:
        raise TraceError(f"{path}: is no JSON: {error}") from error
    except OSError as error:
        raise TraceError(f"{path}: cannot be read: {error.strerror}") from error
    if not isinstance(data, dict):
        raise TraceError(f"{path}: expected communicators' numbers, and their ranks")
    described = [{"pg_name": name, "ranks": members} for name, members in data.items()]
    return groups.named(described, world, str(path))


def _own_rank(file: File, rank: int) -> int:
    if file.attrs.get("rank") != rank:
        raise TraceError(
            f"{file.path}: was written as that of rank {file.attrs.get('rank')!r}, but is named or "
            f"given as that of rank {rank}; were files swapped?"
        )
    return rank


def _own_run(headers: set[str], where: str) -> Run:
    if len(headers) > 1:
        raise TraceError(f"{where}: the files are of different traces")
    try:
        data = json.loads(headers.pop())
    except (ValueError, RecursionError) as error:
        raise TraceError(f"{where}: {RUN} is no JSON: {error}") from error
    return Run.from_json(data, f"{where}: {RUN}")


def _own_rows(nodes: Sequence[Node], rank: int, path: Path) -> list[Operation]:
    """As they were written; the nodes around them say nothing more."""
    rows = []
    for number, node in enumerate(nodes):
        if ROW not in node.attrs:
            continue
        try:
            values = json.loads(str(node.attrs[ROW]))
        except (ValueError, RecursionError) as error:
            raise TraceError(f"{path}: node {number}: {ROW} is no JSON: {error}") from error
        if not isinstance(values, list) or len(values) != len(COLUMNS) - 1:
            raise TraceError(f"{path}: node {number}: {ROW} has not the columns of a row")
        for name, value in zip(list(COLUMNS)[1:], values, strict=True):
            if not _fits(value, COLUMNS[name]):
                raise TraceError(f"{path}: node {number}: {name} is {value!r}")
        cells: list[Any] = [math.nan if value is None else value for value in values]
        rows.append(Operation(rank, *cells))
    return rows


_RANGES = {"int32": 2**31, "int64": 2**63}


def _fits(value: object, dtype: str) -> bool:
    if dtype in _RANGES:
        return type(value) is int and -_RANGES[dtype] <= value < _RANGES[dtype]
    if dtype == "str":
        return isinstance(value, str) and plain(value, len(value)) == value
    return value is None or type(value) in (int, float)
