"""What a recorded transfer moved: bytes, shape and type, read from a profiler's own words."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from traces.shape import ITEM_BYTES

#: How profilers call a type, in lower case and without "c10::", where it is not as torch does.
_TYPES = {
    "float": "float32",
    "double": "float64",
    "half": "float16",
    "long": "int64",
    "long int": "int64",
    "int": "int32",
    "short": "int16",
    "short int": "int16",
    "char": "int8",
    "signed char": "int8",
    "byte": "uint8",
    "unsigned char": "uint8",
    "complexfloat": "complex64",
    "c10::complex<float>": "complex64",
    "complexdouble": "complex128",
    "c10::complex<double>": "complex128",
}
_MOST_BYTES = 2**60
_MOST_DIMS = 64


class Payload(NamedTuple):
    """`shape` as in a trace, or empty where it is not known; `parts` as the column."""

    nbytes: int = 0
    shape: str = ""
    parts: str = ""
    dtype: str = ""


def type_name(text: object) -> str:
    """As torch calls it; "" for what is no type of numbers."""
    name = str(text).lower()
    if name.startswith("tensor(") and name.endswith(")"):
        name = name[len("tensor(") : -1]
    name = _TYPES.get(name, name.removeprefix("c10::").removeprefix("torch."))
    name = _TYPES.get(name, name)
    return name if name in ITEM_BYTES else ""


def is_dims(value: object) -> bool:
    """Whether it is a tensor's lengths."""
    return (
        isinstance(value, list)
        and len(value) <= _MOST_DIMS
        and all(type(length) is int and 0 <= length < _MOST_BYTES for length in value)
    )


def payload(tensors: Sequence[Sequence[int]], dtype: str) -> Payload:
    """Of one tensor, or of several that are alike, stacked; else only the bytes are known.

    Without a type, nothing is known; see `Payload()`.
    """
    if not dtype or not tensors:
        return Payload()
    numbers = sum(math.prod(dims) for dims in tensors)
    nbytes = numbers * ITEM_BYTES[dtype]
    if nbytes > _MOST_BYTES:
        return Payload()
    first = list(tensors[0])
    if len(tensors) > 1 and (not first or any(list(dims) != first for dims in tensors)):
        return Payload(nbytes, dtype=dtype)
    if len(tensors) > 1:
        first[0] *= len(tensors)
    lengths = "x".join(map(str, first)) or "scalar"
    return Payload(nbytes, f"{lengths}:{dtype}", dtype=dtype)


def stacked(one: Payload, times: int) -> Payload:
    """The same so many times, along dim 0: what is scattered, given a rank's part of it."""
    lengths, _, dtype = one.shape.partition(":")
    if not one.shape or lengths == "scalar":
        return Payload(one.nbytes * times, dtype=one.dtype)
    first, *rest = lengths.split("x")
    shape = "x".join([str(int(first) * times), *rest])
    return Payload(one.nbytes * times, f"{shape}:{dtype}", dtype=one.dtype)


def with_splits(whole: Payload, splits: Sequence[int], members: Sequence[int]) -> Payload:
    """An all-to-all whose parts have so many rows for each of the group's members, in its order.

    Equal parts need no list; splits that do not fit the group or the bytes are left out.
    """
    total = sum(splits)
    usable = len(splits) == len(members) and total > 0 and min(splits) >= 0
    if not usable or len(set(splits)) == 1 or whole.nbytes % total:
        return whole
    row_bytes = whole.nbytes // total
    by_rank = sorted(zip(members, splits, strict=True))
    return whole._replace(parts=",".join(str(rows * row_bytes) for _, rows in by_rank))
