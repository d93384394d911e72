"""What is kept of an execution trace's file: of an operator its place and tensors, of calls all."""

from __future__ import annotations

import json
import math
import reprlib
from collections import Counter
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from traces.errors import TraceError
from traces.imports.scan import JsonFile

#: Of one rank; some 400 bytes each are kept.
MOST_NODES = 5_000_000
_CALLS = ("c10d::", "_c10d_functional", "record_param_comms")
#: Names of attributes, as torch.profiler calls the same.
_META = {
    "collective_name": "Collective name",
    "dtype": "dtype",
    "in_msg_nelems": "In msg nelems",
    "in_split_size": "In split size",
    "pg_name": "Process Group Name",
    "pg_size": "Group size",
}
_GROUPS = "## process_group:init ##"
_USER_SCOPE = 7  # at::RecordScope::USER_SCOPE: what record_function names


class Node(NamedTuple):
    """An operator, annotation, call or kernel; `order`: when it was entered, over all threads.

    `start` and `length` in microseconds, NaN where the trace has no times; `storages`: of the
    tensors it was given, or for a call those that it was given to write.
    """

    id: int
    name: str
    parent: int
    order: int
    thread: int
    sort: str  # operator, annotation, call, kernel or thread
    start: float
    length: float
    storages: frozenset[int]
    args: Mapping[str, Any]


class Nodes:
    """One rank's file. Raises TraceError, naming file and node, where it is none."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.by_id: dict[int, Node] = {}
        self.groups: list[Any] = []
        file = JsonFile(path)
        for number, data in enumerate(file.elements("nodes")):
            if number >= MOST_NODES:
                raise TraceError(
                    f"{path}: has more than {MOST_NODES} nodes, the most that are read; record "
                    "fewer steps"
                )
            node = self._node(data, number)
            if node.id in self.by_id:
                raise TraceError(f"{path}: node {number}: there is an earlier one of id {node.id}")
            self.by_id[node.id] = node
        if not self.by_id:
            raise TraceError(f"{path}: has no nodes")
        self.schema = str(file.header.get("schema", "unknown"))[:80]

    @property
    def in_order(self) -> list[Node]:
        """All, in the order in which they were entered."""
        return sorted(self.by_id.values(), key=lambda node: (node.order, node.id))

    @property
    def caller(self) -> int:
        """The thread that asks for transfers; without any, the one with the most operators."""
        calls = Counter(node.thread for node in self.by_id.values() if node.sort == "call")
        most = calls or Counter(n.thread for n in self.by_id.values() if n.sort == "operator")
        return most.most_common(1)[0][0] if most else -1

    @property
    def timed(self) -> bool:
        """Whether operators have times, as they do where the trace was linked with a profile."""
        return any(node.start == node.start for node in self.by_id.values())

    def last(self) -> dict[int, int]:
        """By id, the order of the last node that was entered within each."""
        last = {node.id: node.order for node in self.by_id.values()}
        for node in reversed(self.in_order):
            parent = self.by_id.get(node.parent)
            if parent is not None and parent.order < node.order:
                last[parent.id] = max(last[parent.id], last[node.id])
        return last

    def _node(self, data: object, number: int) -> Node:
        where = f"{self.path}: node {number}"
        if not isinstance(data, dict):
            raise TraceError(f"{where}: is no object: {reprlib.repr(data)}")
        match data:
            case {"id": int(key), "name": str(name), "inputs": dict(inputs), "attrs": list(attrs)}:
                pass
            case _:
                raise TraceError(
                    f"{where}: expected an object with id, name, inputs and attrs, as schema "
                    f"1.0.2-chakra and later have it; found {reprlib.repr(data)}"
                )
        told = {str(a.get("name")): a.get("value") for a in attrs if isinstance(a, dict)}
        values = inputs.get("values")
        if name == _GROUPS:
            self.groups = _groups(values, where)
        sort = _sort(name, data, told)
        start, length = (
            _time(data.get("ts"), where),
            _time(_first(data, "inclusive_dur", "dur"), where),
        )
        whole = sort == "call"
        return Node(
            key,
            name[:300],
            _number(data.get("ctrl_deps", 0), f"{where}: ctrl_deps"),
            _number(told.get("rf_id", key), f"{where}: rf_id"),
            _number(told.get("tid", 0), f"{where}: tid"),
            sort,
            start if not math.isnan(length) else math.nan,
            length,
            frozenset(_storages(values[:1] if whole and isinstance(values, list) else values, 4)),
            _args(inputs, told) if whole else {},
        )


def _sort(name: str, data: Mapping[str, Any], told: Mapping[str, Any]) -> str:
    if name.startswith("[pytorch|"):
        return "thread"
    if data.get("cat") in ("kernel", "gpu_memcpy", "gpu_memset"):
        return "kernel"
    if name.startswith(_CALLS):
        return "call"
    return "annotation" if told.get("scope") == _USER_SCOPE else "operator"


def _number(value: object, where: str) -> int:
    if type(value) is not int or abs(value) > 2**63:
        raise TraceError(f"{where} is {reprlib.repr(value)}; expected a number")
    return value


def _first(data: Mapping[str, Any], *names: str) -> object:
    return next((data[name] for name in names if name in data), None)


def _time(value: object, where: str) -> float:
    if value is None:
        return math.nan
    real = isinstance(value, int | float) and not isinstance(value, bool)
    if not real or not 0 <= value <= 1e16:  # type: ignore[operator]
        raise TraceError(f"{where}: a time is {reprlib.repr(value)}; expected microseconds")
    return float(value)  # type: ignore[arg-type]


def _args(inputs: Mapping[str, Any], told: Mapping[str, Any]) -> dict[str, Any]:
    """As torch.profiler would have said it."""
    values, types = inputs.get("values"), inputs.get("types")
    listed = values if isinstance(values, list) else []
    return {
        "Input Dims": inputs.get("shapes"),
        "Input type": [_element(text) for text in types] if isinstance(types, list) else [],
        "Concrete Inputs": [str(v) if isinstance(v, bool | int | list) else "" for v in listed],
        "strings": [v for v in listed if isinstance(v, str)],
        **{_META[name]: value for name, value in told.items() if name in _META},
    }


def _element(text: object) -> str:
    """The tensors' type in "GenericList[GenericList[Tensor(float),Tensor(float)]]"."""
    before, found, after = str(text).partition("Tensor(")
    del before
    return f"Tensor({after.partition(')')[0]})" if found else str(text)


def _storages(value: object, depth: int) -> Iterator[int]:
    """Of the tensors in an argument: [id, storage, offset, elements, bytes of one, device]."""
    match value:
        case [int(), int(storage), int(), int(), int(), str()]:
            yield storage
        case list() if depth:
            for item in value:
                yield from _storages(item, depth - 1)


def _groups(values: object, where: str) -> list[Any]:
    try:
        found = json.loads(values[0])  # type: ignore[index]
    except (ValueError, TypeError, IndexError, KeyError, RecursionError) as error:
        raise TraceError(f"{where}: the process groups are not understood: {error}") from error
    if not isinstance(found, list):
        raise TraceError(f"{where}: the process groups are no list")
    return found
