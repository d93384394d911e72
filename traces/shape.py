"""Shapes of tensors, written as "1x64x256:float32", read back: lengths, types and sizes."""

from __future__ import annotations

import math

from traces.errors import InputError

#: Type -> bytes of one number; every type that torch computes with.
ITEM_BYTES: dict[str, int] = {
    "complex128": 16,
    **dict.fromkeys(("float64", "complex64", "int64", "uint64"), 8),
    **dict.fromkeys(("float32", "int32", "uint32"), 4),
    **dict.fromkeys(("float16", "bfloat16", "int16", "uint16"), 2),
    **dict.fromkeys(("int8", "uint8", "bool", "float8_e4m3fn", "float8_e4m3fnuz"), 1),
    **dict.fromkeys(("float8_e5m2", "float8_e5m2fnuz", "float8_e8m0fnu"), 1),
}
_DIGITS = 18  # of a length; no tensor is longer, and Python reads no number of thousands


def parse_shape(text: str) -> list[tuple[tuple[int, ...], str]]:
    """The tensors in such a text as (shape, type), leaving out what is no tensor.

    Raises InputError naming the part that is not understood.
    """
    return [tensor for part in text.split(",") if (tensor := _parse(part, text)) is not None]


def payload_bytes(text: str) -> int:
    """Bytes of the one tensor that such a text describes.

    Raises InputError where it is not understood, or describes no tensor or several.
    """
    tensors = parse_shape(text)
    if len(tensors) != 1 or "," in text:
        raise InputError(f"shape {text!r}: expected that of one tensor, such as 2x64x128:float32")
    ((shape, dtype),) = tensors
    return math.prod(shape) * ITEM_BYTES[dtype]


def _parse(part: str, text: str) -> tuple[tuple[int, ...], str] | None:
    lengths, colon, dtype = part.partition(":")
    if not colon and _is_plain(part):
        return None
    shape = [] if lengths == "scalar" else lengths.split("x")
    if dtype not in ITEM_BYTES or not all(map(_is_length, shape)):
        raise InputError(
            f"shape {text!r}: {part!r} is not understood; write for example 1x64x256:float32, "
            f"with one of the types {', '.join(ITEM_BYTES)}"
        )
    return tuple(map(int, shape)), dtype


def _is_length(text: str) -> bool:
    return text.isascii() and text.isdigit() and len(text) <= _DIGITS


def _is_plain(part: str) -> bool:
    """Whether it is what a number, None or an empty sequence is written as."""
    if part in {"", "none", "true", "false"}:
        return True
    try:
        float(part)
    except ValueError:
        return False
    return True
