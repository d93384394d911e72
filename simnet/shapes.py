"""The shapes of a call's arguments as text, by which equal calls are recognised."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from traces.errors import InputError, ScheduleError

_DTYPES = (
    *("float64", "float32", "float16", "bfloat16", "float8_e4m3fn", "float8_e5m2"),
    *("int64", "int32", "int16", "int8", "uint8", "bool"),
)


def describe_shape(args: Sequence[Any]) -> str:
    """Text such as "1x64x256:float32,none,3": tensors' shapes and types, and other values as such.

    Tuples and lists inside are written out in place. Raises ScheduleError for an argument that is
    no tensor, number, None or sequence of these.
    """
    parts = []
    for arg in args:
        try:
            parts.append(_tensor(arg.shape, arg.dtype))
        except AttributeError:
            parts.append(_other(arg))
    return ",".join(parts)


@lru_cache(maxsize=4096)
def _tensor(shape: tuple[int, ...], dtype: Any) -> str:
    lengths = "x".join(map(str, shape)) or "scalar"
    return f"{lengths}:{str(dtype).removeprefix('torch.')}"


def _other(arg: Any) -> str:
    if arg is None:
        return "none"
    if isinstance(arg, (int, float)):
        return repr(arg).lower()
    if isinstance(arg, (tuple, list)):
        return describe_shape(arg)
    raise ScheduleError(
        f"a {type(arg).__name__} is an argument of an operation; "
        "expected tensors, numbers, None, or tuples and lists of them"
    )


def parse_shape(text: str) -> list[tuple[tuple[int, ...], str]]:
    """The tensors in such a text as (shape, type), leaving out what is no tensor.

    Raises InputError naming the part that is not understood.
    """
    return [tensor for part in text.split(",") if (tensor := _parse(part, text)) is not None]


def _parse(part: str, text: str) -> tuple[tuple[int, ...], str] | None:
    lengths, colon, dtype = part.partition(":")
    if not colon and _is_plain(part):
        return None
    shape = [] if lengths == "scalar" else lengths.split("x")
    if dtype not in _DTYPES or not all(n.isascii() and n.isdigit() for n in shape):
        raise InputError(
            f"shape {text!r}: {part!r} is not understood; write for example 1x64x256:float32, "
            f"with one of the types {', '.join(_DTYPES)}"
        )
    return tuple(map(int, shape)), dtype


def _is_plain(part: str) -> bool:
    """Whether it is what a number, None or an empty sequence is written as."""
    if part in {"", "none", "true", "false"}:
        return True
    try:
        float(part)
    except ValueError:
        return False
    return True
