"""Protocol Buffers on the wire: numbered fields in, numbered fields out; no schema is compiled.

See "Encoding" in the Protocol Buffers documentation. Reading never looks beyond the bytes it is
given, and takes time in proportion to them.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from typing import NamedTuple

VARINT, FIXED64, BYTES, FIXED32 = 0, 1, 2, 5
_MOST = 2**64


class WireError(ValueError):
    """The bytes are no message."""


class Field(NamedTuple):
    """A field as it lies there: an int for VARINT and the fixed ones, else bytes."""

    number: int
    kind: int
    value: int | bytes


def fields(data: bytes) -> Iterator[Field]:
    """The fields of a message in order. Raises WireError where it is none."""
    at = 0
    while at < len(data):
        key, at = varint(data, at)
        number, kind = key >> 3, key & 7
        if number == 0:
            raise WireError("a field has number 0")
        if kind == VARINT:
            value, at = varint(data, at)
            yield Field(number, kind, value)
        elif kind in (FIXED64, FIXED32):
            size = 8 if kind == FIXED64 else 4
            yield Field(number, kind, int.from_bytes(_some(data, at, size), "little"))
            at += size
        elif kind == BYTES:
            size, at = varint(data, at)
            yield Field(number, kind, _some(data, at, size))
            at += size
        else:
            raise WireError(f"field {number} is of the unknown wire type {kind}")


def _some(data: bytes, at: int, size: int) -> bytes:
    if size > len(data) - at:
        raise WireError(f"{size} bytes are announced, but {len(data) - at} are left")
    return data[at : at + size]


def varint(data: bytes, at: int) -> tuple[int, int]:
    """(the number that begins at this place, the place after it): 10 bytes at most."""
    value = 0
    for i in range(10):
        if at + i >= len(data):
            raise WireError("a number is cut off")
        byte = data[at + i]
        value |= (byte & 0x7F) << 7 * i
        if byte < 0x80:
            return value % _MOST, at + i + 1
    raise WireError("a number goes on for more than 10 bytes")


def signed(value: int) -> int:
    """What an int32 or int64 means: negative ones fill all 64 bits."""
    return value - _MOST if value >= _MOST // 2 else value


def zigzag(value: int) -> int:
    """What a sint32 or sint64 means."""
    return (value >> 1) ^ -(value & 1)


def double(value: int) -> float:
    """What a fixed64 that is a double means."""
    (number,) = struct.unpack("<d", value.to_bytes(8, "little"))
    return float(number)


def single(value: int) -> float:
    """What a fixed32 that is a float means."""
    (number,) = struct.unpack("<f", value.to_bytes(4, "little"))
    return float(number)


def packed(found: Field) -> Iterable[int]:
    """The numbers of a repeated field of varints, packed or not."""
    if isinstance(found.value, int):
        yield found.value
        return
    at = 0
    while at < len(found.value):
        value, at = varint(found.value, at)
        yield value


def put_varint(value: int) -> bytes:
    """A number from 0, or a negative one as int64."""
    value %= _MOST
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)


def put_number(number: int, value: int) -> bytes:
    """A field that is a varint."""
    return put_varint(number << 3 | VARINT) + put_varint(value)


def put_bytes(number: int, value: bytes) -> bytes:
    """A field that is text, bytes or a message."""
    return put_varint(number << 3 | BYTES) + put_varint(len(value)) + value


def put_packed(number: int, values: Iterable[int]) -> bytes:
    """A repeated field of varints; nothing where there are none."""
    inner = b"".join(map(put_varint, values))
    return put_bytes(number, inner) if inner else b""
