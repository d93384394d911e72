"""The shapes of a call's arguments as text, by which equal calls are recognised."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

from simnet.bulk import Bulk
from traces.errors import ScheduleError


def describe_shape(args: Sequence[Any]) -> str:
    """Text such as "1x64x256:float32,none,3": tensors' shapes and types, and other values as such.

    Tuples and lists inside are written out in place; a Bulk has a text of its own. Raises
    ScheduleError for an argument that is no tensor, number, None or sequence of these.
    """
    parts = []
    for arg in args:
        try:
            parts.append(_tensor(arg.shape, arg.dtype))
        except AttributeError:
            parts.append(arg.text if isinstance(arg, Bulk) else _other(arg))
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
