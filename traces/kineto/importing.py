"""Reads the files that torch.profiler exported, one of each rank, into one Trace."""

from __future__ import annotations

import reprlib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from traces.errors import TraceError
from traces.imports import groups, merge, ranks
from traces.imports.rows import Rows
from traces.imports.text import plain
from traces.kineto.align import align, apart
from traces.kineto.calls import Reader, distributed_info
from traces.kineto.device import device_rows
from traces.kineto.events import Recorded
from traces.kineto.host import host_rows
from traces.operation import Operation
from traces.trace import Trace


@dataclass
class _Rank:
    """One rank's file, read; `rows` count in seconds from `origin_ns` on its host's clock."""

    path: Path
    rank: int
    said: int | None  # by the file
    world: int
    said_world: int | None
    host: str
    backend: str
    device: str
    origin_ns: int
    steps: int
    rows: list[Operation]
    doubts: Counter[str] = field(default_factory=Counter)


def read(files: Sequence[Path], *, model: str = "imported", in_order: bool = False) -> Trace:
    """The trace of files that torch.profiler exported, plain or gzip, each of one rank.

    Ranks are those in the files' distributedInfo, or with `in_order` the files' own order. Raises
    TraceError naming the file, and in it the event, where it is torn, hostile or something else.
    """
    files = ranks.distinct(files)
    read_ = [_read(path, i, len(files), in_order=in_order) for i, path in enumerate(files)]
    ranks.in_order(files, {one.path: one.said for one in read_})
    _one_world(read_)
    rows = {one.rank: one.rows for one in read_}
    first_ns = min(one.origin_ns for one in read_)
    origins_s = {one.rank: (one.origin_ns - first_ns) * 1e-9 for one in read_}
    problems = align(rows, origins_s, {one.rank: one.host for one in read_})
    problems += apart(rows, origins_s)
    merge.shift(rows, origins_s)
    problems += [line for one in read_ for line in merge.doubts(one.rank, one.doubts)]
    run = merge.header(
        "kineto",
        max(one.world for one in read_),
        max(one.steps for one in read_),
        model=model,
        device=read_[0].device,
        network=f"recorded with {read_[0].backend}",
        dtype=merge.usual_type(rows),
        started=merge.started(first_ns),
    )
    return merge.merge(run, rows, problems, {one.rank: one.path for one in read_})


def _read(path: Path, number: int, files: int, *, in_order: bool) -> _Rank:
    """`number`: the file's place among so many `files`."""
    file = Recorded(path)
    info = distributed_info(file.header, str(path))
    said, world = _who(path, info)
    said = None if in_order else said
    rank, world = number if said is None else said, max(world, files)
    if rank >= world:
        raise TraceError(f"{path}: distributedInfo says rank {rank} of {world}")
    known = groups.named(info.get("pg_config", []), world, str(path))
    reader = Reader(str(path), rank, known, groups.world(world))
    rows, doubts = Rows(rank), Counter[str]()
    on_gpu = bool(file.kernels.start or file.transfers)
    steps = (device_rows if on_gpu else host_rows)(file, reader, rows, doubts)
    return _Rank(
        path=path,
        rank=rank,
        said=said,
        world=world,
        said_world=info.get("world_size"),
        host=plain(file.header.get("host_name", "")),
        backend=plain(info.get("backend", "an unknown backend")),
        device=_device(file.header) if on_gpu else "cpu",
        origin_ns=file.origin_ns,
        steps=steps,
        rows=rows.done,
        doubts=doubts,
    )


def _one_world(read_: Sequence[_Rank]) -> None:
    telling = [one for one in read_ if one.said_world is not None]
    for one in telling[1:]:
        if one.said_world != telling[0].said_world:
            raise TraceError(
                f"{one.path}: is of a run of {one.said_world} ranks, and {telling[0].path} of one "
                f"of {telling[0].said_world}; give the files of one run"
            )


def _device(header: Mapping[str, Any]) -> str:
    """The GPU's name."""
    match header.get("deviceProperties"):
        case [{"name": str(name)}, *_]:
            return name
    return "gpu"


def _who(path: Path, info: Mapping[str, Any]) -> tuple[int | None, int]:
    """The rank that the file says it is of, None if it does not, and how many it says there are."""
    rank, world = info.get("rank"), info.get("world_size", 1)
    if rank is not None and (type(rank) is not int or rank < 0):
        raise TraceError(f"{path}: distributedInfo says rank {reprlib.repr(rank)}")
    if type(world) is not int or not 1 <= world <= groups.MOST_RANKS:
        raise TraceError(
            f"{path}: distributedInfo says world_size {reprlib.repr(world)}; expected from 1 to "
            f"{groups.MOST_RANKS}"
        )
    return rank, world
