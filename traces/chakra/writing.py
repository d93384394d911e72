"""Writes a trace as Chakra files, one of each rank, that ASTRA-sim can run.

A compute, and the host's time before an operation, is a node that lasts so long; a transfer is one
that does not hold up its rank; a wait is one of no length that depends on the transfer. Nodes
depend on what precedes them on their rank. What Chakra has no words for is kept in the attribute
`thinwire.row`, from which the row is read back unchanged.
"""

from __future__ import annotations

import json
import math
from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import groupby, starmap
from pathlib import Path
from typing import TYPE_CHECKING

from traces.chakra.messages import COMM_TYPES, Node, NodeType, metadata, put
from traces.columns import MESSAGES
from traces.errors import InputError
from traces.files import replacing
from traces.operation import Operation
from traces.shape import payload_bytes

if TYPE_CHECKING:
    from traces.trace import Trace

SUFFIX = ".et"
RUN, ROW = "thinwire.run", "thinwire.row"
#: Nodes of a row: the host's time before it, the operation, and of a shift the half that receives.
_HOST, _MAIN, _BACK, _PER_ROW = 0, 1, 2, 3
_TAGS = 2**31


def paths(to: Path, ranks: int) -> list[Path]:
    """`T.et` stands for T.0.et, T.1.et and so on, as ASTRA-sim names them by their prefix."""
    return [to.with_name(f"{to.stem}.{rank}{SUFFIX}") for rank in range(ranks)]


def groups_path(to: Path) -> Path:
    """Where the communicators' members are written, for --comm-group-configuration."""
    return to.with_name(f"{to.stem}.groups.json")


def write(trace: Trace, to: Path) -> list[Path]:
    """Write T.0.et, T.1.et ... for `to` = T.et, and T.groups.json where not all rows are of all.

    Gives what was written: nothing of a rank of which the trace has nothing.

    The same trace, the same bytes. Raises TraceError where rows make no sense, InputError or
    RunError where a file cannot be written.
    """
    if to.suffix != SUFFIX:
        raise InputError(f"{to}: expected a name that ends in {SUFFIX}")
    lines = _Lines(trace)
    names, written = paths(to, trace.run.ranks), []
    header = json.dumps(trace.run.to_json(), sort_keys=True)
    scanned = groupby(trace.scan(), lambda rows: int(rows["rank"].iloc[0]))
    for rank, frames in scanned:
        with ExitStack() as stack:
            temporary = stack.enter_context(replacing(names[rank]))
            file = stack.enter_context(temporary.open("wb", buffering=2**20))
            put(file, metadata({RUN: header, "rank": rank}))
            rows = (
                operation
                for frame in frames
                for operation in starmap(Operation, frame.itertuples(index=False, name=None))
            )
            for node in _Nodes(rank, lines).of(rows):
                put(file, node.encoded())
        written.append(names[rank])
    if lines.groups:
        with replacing(groups_path(to)) as temporary:
            temporary.write_text(json.dumps(lines.members(), indent=1) + "\n")
        written.append(groups_path(to))
    return written


class _Lines:
    """What only all ranks together tell: sizes of messages and collectives, numbers of groups."""

    def __init__(self, trace: Trace) -> None:
        self.sent: dict[tuple[str, int, int], array[int]] = defaultdict(lambda: array("q"))
        self.joint: dict[tuple[str, str], array[int]] = defaultdict(lambda: array("q"))
        everyone = ",".join(map(str, range(trace.run.ranks)))
        names: set[str] = set()
        counts: Counter[tuple[int, str, str]] = Counter()
        columns = ("rank", "stream", "kind", "bytes", "group", "dst")
        for rows in trace.scan(columns):
            for rank, stream, kind, nbytes, group, dst in rows.itertuples(index=False, name=None):
                if kind in ("send", "shift"):
                    self.sent[stream, rank, dst].append(nbytes)
                elif kind in COMM_TYPES:
                    names.add(group)
                    sizes, i = self.joint[stream, group], counts[rank, stream, group]
                    counts[rank, stream, group] += 1
                    if i == len(sizes):
                        sizes.append(0)
                    sizes[i] = max(sizes[i], nbytes)
        #: Group -> its number; all ranks together need none.
        self.groups = {name: i for i, name in enumerate(sorted(names - {everyone}), 1)}

    def members(self) -> dict[str, list[int]]:
        """By number, as ASTRA-sim reads them."""
        return {str(i): list(map(int, name.split(","))) for name, i in self.groups.items()}


@dataclass
class _Rounding:
    """Times in whole microseconds, whose sum is never off by more than half of one."""

    left_s: float = 0.0

    def __call__(self, time_s: float) -> int:
        self.left_s += time_s
        whole = max(0, math.floor(self.left_s * 1e6 + 0.5))
        self.left_s -= whole * 1e-6
        return whole


@dataclass
class _Nodes:
    """One rank's nodes, as its rows come."""

    rank: int
    lines: _Lines
    last: int | None = None  # node of the compute stream that the next one follows
    rounding: _Rounding = field(default_factory=_Rounding)
    queued: dict[str, int] = field(default_factory=dict)  # last collective of each stream
    counts: Counter[tuple[object, ...]] = field(default_factory=Counter)
    halves: dict[int, tuple[int, ...]] = field(default_factory=dict)  # nodes of a transfer, by seq

    def of(self, rows: Iterable[Operation]) -> Iterator[Node]:
        """At most three of each row."""
        for row in rows:
            base = row.seq * _PER_ROW
            if waited_us := self.rounding(row.host_s):
                node = Node(base + _HOST, "host", NodeType.COMP, duration_us=waited_us)
                node.start_us = _micros(row.start_s - row.host_s)
                yield self._then(node, {"is_cpu_op": True})
            kept = {ROW: _kept(row)}
            if row.kind == "compute":
                node = Node(base + _MAIN, row.name, NodeType.COMP)
                node.start_us = _micros(row.start_s)
                node.duration_us = self.rounding(row.cost_s)
                yield self._then(node, {"is_cpu_op": False, "num_ops": 0, "tensor_size": 0, **kept})
            elif row.kind == "wait":
                node = Node(base + _MAIN, f"wait for {row.name}", NodeType.COMP)
                node.start_us = _micros(row.start_s)
                node.deps = self.halves.get(row.waits_for, ())
                yield self._then(node, {"is_cpu_op": True, **kept})
            else:
                yield from self._transfer(row, base, kept)

    def _then(self, node: Node, attrs: dict[str, str | int | bool]) -> Node:
        """The next on the compute stream."""
        node.deps = tuple(dict.fromkeys((*self._before(), *node.deps)))
        node.attrs.update(attrs)
        self.last = node.id
        return node

    def _before(self) -> tuple[int, ...]:
        return () if self.last is None else (self.last,)

    def _transfer(self, row: Operation, base: int, kept: dict[str, str]) -> Iterator[Node]:
        length_us = 0 if math.isnan(row.end_s) else _micros(row.end_s - row.start_s)
        nodes = self._message(row) if row.kind in MESSAGES else [self._collective(row)]
        for node, place in zip(nodes, (_MAIN, _BACK), strict=False):
            node.id, node.name = base + place, row.name
            node.start_us, node.duration_us = _micros(row.start_s), length_us
            node.deps = tuple(dict.fromkeys((*self._before(), *node.deps)))
            node.attrs |= {"is_cpu_op": False, **(kept if place == _MAIN else {})}
        self.halves[row.seq] = tuple(node.id for node in nodes)
        if row.kind not in MESSAGES:
            self.queued[row.stream] = nodes[0].id
        yield from nodes

    def _message(self, row: Operation) -> list[Node]:
        nodes = []
        if row.kind in ("send", "shift"):
            tag = self._count("sent", row.stream, row.dst)
            there = {"comm_src": self.rank, "comm_dst": row.dst, "comm_tag": tag % _TAGS}
            node = Node(0, type=NodeType.COMM_SEND)
            node.attrs.update({"comm_size": row.bytes, **there})
            nodes.append(node)
        if row.kind in ("recv", "shift"):
            tag = self._count("received", row.stream, row.src)
            sizes = self.lines.sent.get((row.stream, row.src, self.rank), array("q"))
            # Of a message that nobody sends, as in a partial trace, only the row can tell.
            size = sizes[tag] if tag < len(sizes) else payload_bytes(row.shape) if row.shape else 0
            back = {"comm_src": row.src, "comm_dst": self.rank, "comm_tag": tag % _TAGS}
            node = Node(0, type=NodeType.COMM_RECV)
            node.attrs.update({"comm_size": size, **back})
            nodes.append(node)
        return nodes

    def _collective(self, row: Operation) -> Node:
        node = Node(0, type=NodeType.COMM_COLL)
        number = self._count("joined", row.stream, row.group)
        # Simulators want one size of all members: that of the largest.
        size = self.lines.joint[row.stream, row.group][number]
        node.attrs.update({"comm_type": COMM_TYPES[row.kind], "comm_size": size})
        if row.group in self.lines.groups:
            node.attrs["pg_name"] = str(self.lines.groups[row.group])
        if row.stream in self.queued:
            node.deps = (self.queued[row.stream],)
        return node

    def _count(self, *line: object) -> int:
        """How many there were before on this line."""
        self.counts[line] += 1
        return self.counts[line] - 1


def _kept(row: Operation) -> str:
    values = row.values()[1:]
    plain = [None if isinstance(v, float) and math.isnan(v) else v for v in values]
    return json.dumps(plain, separators=(",", ":"))


def _micros(time_s: float) -> int:
    return max(0, round(time_s * 1e6))
