"""Reads PyTorch's execution traces, one of each rank, into one Trace."""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from traces.execution_trace.nodes import Node, Nodes
from traces.imports import groups, merge, ranks
from traces.imports.places import Annotation, Places
from traces.imports.rows import Call, Rows, Wait, Work, tile
from traces.kineto.calls import Asked, Reader
from traces.kineto.events import Event
from traces.trace import Trace


class _Called(NamedTuple):
    node: Node
    asked: Asked
    start: float  # seconds
    end: float


def read(files: Sequence[Path], *, model: str = "imported") -> Trace:
    """The trace of files that ExecutionTraceObserver wrote, plain or gzip; ranks in their order.

    They say what was called in which order with which tensors, and nothing of time, unless they
    were linked with a profile: then computes cost nothing, and `problems` says so. A transfer that
    is not waited for at once is waited for by the first operator that gets the tensor. Raises
    TraceError naming the file and node at fault.
    """
    files = ranks.distinct(files)
    problems: list[str] = []
    rows, origins_s, steps, world = {}, {}, 1, len(files)
    timed = True
    for rank, path in enumerate(files):
        nodes = Nodes(path)
        doubts = Counter[str]()
        filled = Rows(rank)
        world = max(world, groups.world_of(nodes.groups))
        steps = max(steps, _fill(nodes, filled, world, doubts))
        doubts["times"] = 0 if nodes.timed else 1
        timed &= nodes.timed
        rows[rank] = filled.done
        origins_s[rank] = 0.0
        problems += merge.doubts(rank, doubts)
    merge.shift(rows, origins_s)
    run = merge.header(
        "execution-trace" if timed else "execution-trace without times",  # which is not measured
        world,
        steps,
        model=model,
        device="as recorded" if timed else "none: without times",
        network="as recorded" if timed else "none: without times",
        dtype=merge.usual_type(rows),
    )
    return merge.merge(run, rows, problems, dict(enumerate(files)))


def _fill(nodes: Nodes, rows: Rows, world: int, doubts: Counter[str]) -> int:
    """Gives the number of steps."""
    where, caller = str(nodes.path), nodes.caller
    known = groups.named(nodes.groups, world, where)
    reader = Reader(where, rows.rank, known, groups.world(world))
    ordered = [node for node in nodes.in_order if node.thread == caller or node.sort == "kernel"]
    called = list(_called(nodes, ordered, reader, doubts))
    work = _work(nodes, ordered)
    last = nodes.last()
    places = Places(
        [
            Annotation(node.name, node.order, last[node.id] + 0.5)
            for node in ordered
            if node.sort == "annotation"
        ],
        (),
    )
    calls = [Call(c.node.order, c.asked.moved, c.start, c.end) for c in called]
    waits = list(_waits(called, ordered, last))
    doubts["uses"] += sum(not one.asked.blocks for one in called)
    tile(rows, work, calls, waits, places)
    return places.steps


def _called(
    nodes: Nodes, ordered: Sequence[Node], reader: Reader, doubts: Counter[str]
) -> Iterator[_Called]:
    """The transfers: calls of c10d, each with what its process group recorded of it."""
    recorded = {n.parent: n for n in ordered if n.name == "record_param_comms"}
    kernels = {n.parent: n for n in ordered if n.sort == "kernel" and n.name.startswith("nccl")}
    for node in ordered:
        if not node.name.startswith("c10d::"):
            continue
        comms = recorded.get(node.id)
        wrapper = nodes.by_id.get(node.parent)
        args = dict(comms.args if comms else {})
        if wrapper is not None and wrapper.name.startswith("_c10d_functional"):
            # Only here a group is called by its name.
            strings = wrapper.args.get("strings", [])
            named = [name for name in strings if name in reader.groups]
            args |= {"Process Group Name": named[-1]} if named else {}
        asked = reader.asked(_event(node, node.args), _event(node, args), None)
        if asked is None:
            doubts["calls"] += 1
            continue
        for doubt in asked.doubts:
            doubts[doubt] += 1
        done = kernels.get(comms.id if comms else -1, node)
        start = 0.0 if math.isnan(node.start) else node.start * 1e-6
        end = 0.0 if math.isnan(done.start) else (done.start + done.length) * 1e-6
        yield _Called(node, asked, start, end)


def _event(node: Node, args: Mapping[str, object]) -> Event:
    return Event(node.name, "", 0.0, 0.0, dict(args))


def _work(nodes: Nodes, ordered: Sequence[Node]) -> Work:
    """Kernels where there are any, else operators that lie in no other and in no call."""
    chosen = [n for n in ordered if n.sort == "kernel" and not n.name.startswith("nccl")]
    if not chosen:
        within = ("operator", "call")
        chosen = [
            n
            for n in ordered
            if n.sort == "operator"
            and (n.parent not in nodes.by_id or nodes.by_id[n.parent].sort not in within)
        ]
    parents = [nodes.by_id.get(n.parent, n) if n.sort == "kernel" else n for n in chosen]
    order = np.array([float(parent.order) for parent in parents])
    start = np.array([0.0 if math.isnan(n.start) else n.start for n in chosen]) * 1e-6
    length = np.array([0.0 if math.isnan(n.start) else n.length for n in chosen]) * 1e-6
    ranked = np.argsort(order, kind="stable")
    return Work(order[ranked], start[ranked], (start + length)[ranked], solid=False)


def _waits(
    called: Sequence[_Called], ordered: Sequence[Node], last: Mapping[int, int]
) -> Iterator[Wait]:
    """At once where the call blocks, else before the first operator that gets the tensor.

    A message that is sent is not waited for: nothing needs it.
    """
    users: dict[int, list[int]] = defaultdict(list)  # of a storage, by when they were entered
    for node in ordered:
        if node.sort in ("operator", "call"):
            for storage in node.storages:
                users[storage].append(node.order)
    for i, one in enumerate(called):
        if one.asked.blocks:
            yield Wait(last[one.node.id] + 0.25, i, one.start, one.end)
            continue
        if one.asked.moved.kind == "send":
            continue
        # What the call itself did, as splitting its tensors, comes within it.
        after = last[one.node.id] + 1
        places = [(users[s], bisect_left(users[s], after)) for s in one.node.storages]
        first = min((orders[at] for orders, at in places if at < len(orders)), default=None)
        yield Wait(after - 0.75 if first is None else first - 0.25, i, one.start, one.end)
