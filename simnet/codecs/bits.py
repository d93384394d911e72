"""Several small numbers to a byte, by operations that run at memory speed on every device.

Where n numbers are packed p to a byte, the first n / p are the lowest bits of all bytes, the next
n / p the ones above, and so on. So packing is p operations on long rows, where neighbours in one
byte would make it many on short ones.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn.functional import pad

from simnet.codecs.base import Shape

_WORDS = {torch.float16: torch.int16, torch.bfloat16: torch.int16, torch.float32: torch.int32}


def words(x: Tensor) -> Tensor:
    """The same memory as integers as wide as its floats; the sign of a number is its top bit.

    Positive floats are in the order of these integers (IEEE 754).
    """
    return x.view(_WORDS[x.dtype])


def top(dtype: torch.dtype) -> int:
    """The place of the sign bit."""
    return 8 * dtype.itemsize - 1


def packed_bytes(count: int, bits: int) -> int:
    """How many bytes so many numbers of 1, 2 or 4 bits take; what is left of the last is unused."""
    return -(-count * bits // 8)


def pack(codes: Tensor, to_a_byte: int) -> Tensor:
    """n small integers in uint8, (N, C), as n / to_a_byte bytes: those of one byte are added up.

    Each is moved up by as many bits as the row of bytes that it is in comes after the first.
    """
    first, *others = _rows(codes, to_a_byte)
    packed: Tensor = first.clone()
    for place, row in enumerate(others, 1):
        packed.add_(row, alpha=1 << place)
    return packed


def wide(packed: Tensor, dtype: torch.dtype) -> Tensor:
    """Bytes as integers as wide as floats of this type."""
    return packed.to(_WORDS[dtype])


def spread(codes: Tensor, up: int, mask: int, shape: Shape) -> Tensor:
    """Wide integers in which several numbers are packed, as one for each number, (N, C).

    The numbers are moved `up` so many places, less one for each row that they come from, and then
    only the bits of `mask` are left.
    """
    count = shape[0] * shape[1]
    rows = -(-count // len(codes))
    places = torch.arange(up, up - rows, -1, dtype=codes.dtype, device=codes.device).unsqueeze(1)
    bits = (codes << places).bitwise_and_(mask)
    return bits.view(-1)[:count].view(shape)


def pack_nibbles(numbers: Tensor) -> Tensor:
    """n integers from 0 to 15 in uint8, two to a byte: (ceil(n / 2),) in uint8."""
    low, high = _rows(numbers, 2)
    return torch.add(low, high, alpha=16)


def unpack_nibbles(packed: Tensor, shape: Shape) -> Tensor:
    """The integers again, in uint8 and of this shape."""
    count = shape[0] * shape[1]
    return torch.cat([packed & 15, packed >> 4])[:count].view(shape)


def _rows(numbers: Tensor, rows: int) -> Tensor:
    """As many equal rows, filled up with zeros."""
    flat = numbers.reshape(-1)
    missing = -flat.numel() % rows
    return (pad(flat, (0, missing)) if missing else flat).view(rows, -1)
