"""The messages of a Chakra file: its metadata, then nodes, each preceded by its length.

After et_def.proto of MLCommons Chakra, package ChakraProtoMsg.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from typing import IO

from traces.chakra import wire
from traces.errors import TraceError
from traces.imports.scan import MOST_BYTES, opened

#: A length beyond it is damage: nodes take some hundred bytes.
MOST_MESSAGE = 8 * 2**20

Value = int | float | str | bytes | bool | None


class NodeType(IntEnum):
    """Chakra's NodeType."""

    INVALID = 0
    METADATA = 1
    MEM_LOAD = 2
    MEM_STORE = 3
    COMP = 4
    COMM_SEND = 5
    COMM_RECV = 6
    COMM_COLL = 7


#: Kind of transfer -> Chakra's CollectiveCommType.
COMM_TYPES: dict[str, int] = {
    "all_reduce": 0,
    "reduce": 1,
    "all_gather": 2,
    "gather": 3,
    "scatter": 4,
    "broadcast": 5,
    "all_to_all": 6,
    "reduce_scatter": 7,
    "barrier": 9,
}
KINDS: dict[int, str] = {number: kind for kind, number in COMM_TYPES.items()} | {
    8: "reduce_scatter"  # REDUCE_SCATTER_BLOCK
}


@dataclass(slots=True)
class Node:
    """A node; times in microseconds. `values` are those of its inputs, as text."""

    id: int
    name: str = ""
    type: int = 0
    deps: tuple[int, ...] = ()
    start_us: int = 0
    duration_us: int = 0
    values: str = ""
    attrs: dict[str, Value] = field(default_factory=dict)

    def encoded(self) -> bytes:
        """Of dependencies data ones only, which all readers go by."""
        parts = [
            wire.put_number(1, self.id),
            wire.put_bytes(2, self.name.encode()),
            wire.put_number(3, self.type),
            wire.put_packed(5, self.deps),
            wire.put_number(6, self.start_us) if self.start_us else b"",
            wire.put_number(7, self.duration_us) if self.duration_us else b"",
        ]
        return b"".join(parts) + _put_attrs(10, self.attrs)


def metadata(attrs: Mapping[str, Value]) -> bytes:
    """A GlobalMetadata."""
    return wire.put_bytes(1, b"0.0.4") + _put_attrs(2, attrs)


def _put_attrs(number: int, attrs: Mapping[str, Value]) -> bytes:
    return b"".join(wire.put_bytes(number, _put_attr(name, v)) for name, v in attrs.items())


def _put_attr(name: str, value: Value) -> bytes:
    head = wire.put_bytes(1, name.encode())
    match value:
        case bool():
            return head + wire.put_number(27, int(value))
        case int():
            return head + wire.put_number(9, value)
        case str():
            return head + wire.put_bytes(29, value.encode())
    raise AssertionError(f"{name}: {type(value)} is not written")


def put(file: IO[bytes], message: bytes) -> None:
    """Write a message after its length."""
    file.write(wire.put_varint(len(message)) + message)


#: Field of AttributeProto -> what its value means. Lists, the even numbers, are not looked into.
_VALUES: dict[int, Callable[[int], Value]] = {
    3: wire.double,
    5: wire.single,
    7: wire.signed,
    9: wire.signed,
    11: int,
    13: int,
    15: wire.zigzag,
    17: wire.zigzag,
    19: int,
    21: int,
    23: int,
    25: wire.signed,
    27: bool,
}


class File:
    """A Chakra file: `attrs` of its metadata, then its nodes in their order."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.attrs: dict[str, Value] = {}

    def nodes(self) -> Iterator[Node]:
        """`attrs` is there from the first one on.

        Raises TraceError naming the file and the message where it is torn or no Chakra file.
        """
        number = -1
        for number, (place, data) in enumerate(_messages(self.path)):
            try:
                if number:
                    yield _node(data)
                else:
                    self.attrs = _metadata(data)
            except (wire.WireError, UnicodeDecodeError) as error:
                what = f"node {number - 1}" if number else "the metadata that it begins with"
                raise TraceError(
                    f"{self.path}: byte {place}: {what} is damaged, or this is no Chakra file: "
                    f"{error}"
                ) from error
        if number < 1:
            raise TraceError(f"{self.path}: has no nodes")


def _messages(path: Path) -> Iterator[tuple[int, bytes]]:
    """(place in the file, message) of each."""
    place = 0
    with opened(path) as file:
        while True:
            head = bytearray()
            while byte := file.read(1):
                head += byte
                if byte[0] < 0x80 or len(head) > 5:
                    break
            if not head:
                return
            length = _length(path, place, bytes(head))
            data = file.read(length)
            if len(data) < length:
                raise TraceError(
                    f"{path}: byte {place}: a message of {length} bytes is announced, but "
                    f"{len(data)} are left: the file is torn"
                )
            yield place + len(head), data
            place += len(head) + length
            if place > MOST_BYTES:
                raise TraceError(f"{path}: is longer than {MOST_BYTES / 1e9:g} GB (unpacked)")


def _length(path: Path, place: int, head: bytes) -> int:
    try:
        length, _ = wire.varint(head, 0)
    except wire.WireError as error:
        raise TraceError(f"{path}: byte {place}: the length of a message: {error}") from error
    if length > MOST_MESSAGE:
        raise TraceError(
            f"{path}: byte {place}: a message of {length} bytes is announced; the most is "
            f"{MOST_MESSAGE}. Is this a Chakra file?"
        )
    return length


def _metadata(data: bytes) -> dict[str, Value]:
    attrs: dict[str, Value] = {}
    for found in wire.fields(data):
        if found.number == 2 and isinstance(found.value, bytes):
            name, value = _attr(found.value)
            attrs[name] = value
        elif found.number != 1 or not isinstance(found.value, bytes):
            raise wire.WireError(f"it has an unknown field {found.number}")
    return attrs


def _node(data: bytes) -> Node:
    node = Node(id=-1)
    deps: list[int] = []
    numbers = {1: "id", 3: "type", 6: "start_us", 7: "duration_us"}
    for found in wire.fields(data):
        match found:
            case wire.Field(1 | 3 | 6 | 7, wire.VARINT, int(number)):
                setattr(node, numbers[found.number], number)
            case wire.Field(2, wire.BYTES, bytes(text)):
                node.name = text.decode()
            case wire.Field(4 | 5, wire.VARINT | wire.BYTES):
                deps += wire.packed(found)
            case wire.Field(8, wire.BYTES, bytes(inputs)):
                node.values = _text(inputs, 1)
            case wire.Field(10, wire.BYTES, bytes(attr)):
                node.attrs.update([_attr(attr)])
            case wire.Field(9, wire.BYTES):
                pass  # what it put out
            case wire.Field(number) if number <= 10:
                raise wire.WireError(f"field {number} is of wire type {found.kind}")
    node.id = max(node.id, 0)  # 0 is not written
    node.deps = tuple(dict.fromkeys(deps))
    return node


def _attr(data: bytes) -> tuple[str, Value]:
    name = ""
    value: Value = None
    for found in wire.fields(data):
        if isinstance(found.value, bytes):
            if found.number == 1:
                name = found.value.decode()
            elif found.number == 29:
                value = found.value.decode()
        elif found.number in _VALUES:
            value = _VALUES[found.number](found.value)
    return name, value


def _text(data: bytes, number: int) -> str:
    texts = [f.value for f in wire.fields(data) if f.number == number]
    return texts[-1].decode() if texts and isinstance(texts[-1], bytes) else ""
