"""Rows of a Chakra file that another program wrote: a graph of nodes, put into one order."""

from __future__ import annotations

import heapq
import json
import reprlib
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from traces.chakra.messages import COMM_TYPES, KINDS, Node, NodeType
from traces.columns import ROOTS
from traces.errors import TraceError
from traces.imports.groups import Group, named
from traces.imports.payload import Payload
from traces.imports.places import Annotation, Place, Places
from traces.imports.rows import Moved, Rows

_MESSAGES = {NodeType.COMM_SEND: "send", NodeType.COMM_RECV: "recv"}
_TRANSFERS = (*_MESSAGES, NodeType.COMM_COLL)
_LASTING = (NodeType.COMP, *_TRANSFERS)
_MOST_BYTES = 2**60
_MOST_US = 10**15


class _Spoken(NamedTuple):
    """What a file says of ranks: who is in a communicator, by its name."""

    world: Group
    groups: Mapping[str, Group]
    where: str


def foreign_rows(
    nodes: Sequence[Node], rows: Rows, world: Group, groups: Mapping[str, Group], where: str
) -> tuple[Counter[str], int]:
    """Fill `rows`; gives what had to be guessed, and the number of steps.

    Computes of the host are left out where there are others. Raises TraceError for a graph that is
    none, and for transfers that make no sense.
    """
    ordered = in_order(nodes, where)
    told = dict(groups)
    for node in ordered:
        if node.type == NodeType.METADATA and node.values:
            told |= _process_groups(node, len(world.members), where)
    spoken = _Spoken(world, told, where)
    doubts: Counter[str] = Counter()
    computes = [node for node in ordered if node.type == NodeType.COMP]
    on_device = [node for node in computes if not node.attrs.get("is_cpu_op")]
    left_out = {n.id for n in computes if n.attrs.get("is_cpu_op")} if on_device else set()
    doubts["lost"] = len(left_out)
    steps = Places([Annotation(n.name, i, i) for i, n in enumerate(ordered)], ())
    seqs: dict[int, int] = {}
    clock = _Clock(rows)
    for i, node in enumerate(ordered):
        rows.place = steps.at(i)._replace(label="")
        if node.type not in _TRANSFERS:
            for dep in node.deps:
                clock.wait(seqs.pop(dep, None))
        if node.type in _TRANSFERS:
            # What a transfer depends on is waited for, but not what it merely queues behind.
            moved = _moved(node, spoken, rows.rank, doubts)
            for dep in node.deps:
                if dep in seqs and rows.done[seqs[dep]].stream != moved.group.name:
                    clock.wait(seqs.pop(dep))
            seqs[node.id] = clock.transfer(moved, node)
        elif node.type == NodeType.COMP and node.id not in left_out:
            clock.compute(node)
    rows.place = Place(0, -1, "")
    return doubts, steps.steps


class _Clock:
    """The rank's own: nodes say how long they last, and few of them when they began."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows
        self.now_s = 0.0

    def _begin(self, node: Node) -> float:
        self.now_s = max(self.now_s, min(node.start_us, _MOST_US) * 1e-6)
        return self.now_s

    def compute(self, node: Node) -> None:
        start_s = self._begin(node)
        cost_s = min(node.duration_us, _MOST_US) * 1e-6
        self.now_s = start_s + cost_s
        self.rows.compute(node.name or "compute", start_s, self.now_s, cost_s)

    def transfer(self, moved: Moved, node: Node) -> int:
        start_s = self._begin(node)
        end_s = start_s + min(node.duration_us, _MOST_US) * 1e-6
        return self.rows.transfer(moved, start_s, end_s)

    def wait(self, seq: int | None) -> None:
        if seq is None:
            return
        start_s, self.now_s = self.now_s, max(self.now_s, self.rows.done[seq].end_s)
        self.rows.wait(seq, start_s, self.now_s)


def in_order(nodes: Sequence[Node], where: str) -> list[Node]:
    """An order that dependencies allow; where they leave a choice, by time if all say it, or by id.

    Raises TraceError for an id that is there twice, a dependency on nothing, and a circle.
    """
    by_id: dict[int, Node] = {}
    for node in nodes:
        if node.id in by_id:
            raise TraceError(f"{where}: there are two nodes of id {node.id}")
        by_id[node.id] = node
    open_deps = {node.id: len(node.deps) for node in nodes}
    after: dict[int, list[int]] = {}
    for node in nodes:
        for dep in node.deps:
            if dep not in by_id:
                raise TraceError(
                    f"{where}: node {node.id} depends on node {dep}, which there is not"
                )
            after.setdefault(dep, []).append(node.id)
    timed = (
        sum(not node.start_us for node in nodes if node.type in _LASTING) <= 1
    )  # one begins at 0
    start_us = {node.id: node.start_us if timed else 0 for node in nodes}
    ready = [(start_us[node.id], node.id) for node in nodes if not node.deps]
    heapq.heapify(ready)
    found: list[Node] = []
    while ready:
        _, key = heapq.heappop(ready)
        found.append(by_id[key])
        for later in after.get(key, ()):
            open_deps[later] -= 1
            if not open_deps[later]:
                heapq.heappush(ready, (start_us[later], later))
    if len(found) < len(nodes):
        stuck = min(key for key, count in open_deps.items() if count)
        raise TraceError(
            f"{where}: nodes depend on each other in a circle, node {stuck} among them"
        )
    return found


def _process_groups(node: Node, world: int, where: str) -> Mapping[str, Group]:
    """Those that a converted PyTorch trace lists; nothing for other metadata."""
    text = node.values.strip().removeprefix("['").removesuffix("']")
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    if not isinstance(data, list) or not all(isinstance(d, dict) and "pg_name" in d for d in data):
        return {}
    return named(data, world, where)


def _moved(node: Node, spoken: _Spoken, rank: int, doubts: Counter[str]) -> Moved:
    where = f"{spoken.where}: node {node.id}"
    size = node.attrs.get("comm_size", 0)
    if type(size) is not int or not 0 <= size < _MOST_BYTES:
        raise TraceError(f"{where}: comm_size is {size!r}; expected bytes")
    group = _group(node, spoken, where)
    if rank not in group.members:
        raise TraceError(f"{where}: rank {rank} is none of its communicator's ({group.text})")
    doubts["empty"] += not size and node.attrs.get("comm_type") != COMM_TYPES["barrier"]
    if node.type in _MESSAGES:
        kind = _MESSAGES[NodeType(node.type)]
        peer = _rank(node, "comm_dst" if kind == "send" else "comm_src", group, where)
        # What comes has no bytes of its own in a trace; its shape tells how many are expected.
        shape = f"{size}:uint8" if kind == "recv" and size else ""
        return Moved(kind, node.name or kind, group, Payload(size, shape), peer)
    number = node.attrs.get("comm_type")
    if type(number) is not int or number not in KINDS:
        raise TraceError(f"{where}: comm_type is {number!r}; expected one of {sorted(KINDS)}")
    kind, root = KINDS[number], -1
    if kind in ROOTS:
        given = next((name for name in ("comm_root", "root") if name in node.attrs), None)
        doubts["roots"] += given is None
        root = group.ranks[0] if given is None else _rank(node, given, group, where)
    return Moved(kind, node.name or kind, group, Payload(size), root)


def _rank(node: Node, name: str, group: Group, where: str) -> int:
    found = node.attrs.get(name)
    if type(found) is not int or found not in group.members:
        raise TraceError(f"{where}: {name} is {found!r}; expected one of the ranks {group.text}")
    return found


def _group(node: Node, spoken: _Spoken, where: str) -> Group:
    name = str(node.attrs.get("pg_name") or "")
    if name in spoken.groups:
        return spoken.groups[name]
    if name in ("", "0"):
        return spoken.world
    raise TraceError(
        f"{where}: the ranks of communicator {reprlib.repr(name)} are not known; give the JSON "
        "file that lists them too"
    )
