"""Which row is of which token, for which expert: pairs, by number, and as one bit each.

A rank numbers the pairs of its N tokens by the expert's place, then by the token; those of other
ranks' tokens by the rank, then likewise among its own experts. Either way there are E N of them,
n N for each of the ranks, n of the E experts each. Shapes: M rows, in the order of these numbers.
"""

from __future__ import annotations

import torch
from torch import Tensor

from simnet.codecs.bits import pack, packed_bytes


def numbered(chosen: Tensor, order: Tensor, places: Tensor) -> Tensor:
    """Numbers (M,), rising, of the slots in that order; `chosen` is (N, k) experts, or (N,)."""
    tokens, top = len(chosen), chosen.numel() // len(chosen)
    return places[chosen.flatten()[order]] * tokens + order.div(top, rounding_mode="floor")


def as_bits(pairs: Tensor, tokens: int, experts: int, ranks: int) -> Tensor:
    """For each rank, bytes (ranks, ceil(n N / 8)) that say which of its pairs there are."""
    there = torch.zeros(experts * tokens, dtype=torch.uint8, device=pairs.device)
    there = there.index_fill(0, pairs, 1)
    return torch.stack([pack(own, 8) for own in there.view(ranks, -1)])


def of_bits(parts: list[Tensor], tokens: int, mine: int, rows: int) -> Tensor:
    """Numbers (M,) of what came from each rank, of whose messages the bits are the first bytes."""
    count = tokens * mine
    there = [_unpacked(part[: packed_bytes(count, 1)])[:count] for part in parts]
    return torch.cat(there).argsort(descending=True, stable=True)[:rows]


def _unpacked(packed: Tensor) -> Tensor:
    places = torch.arange(8, dtype=torch.uint8, device=packed.device).unsqueeze(1)
    return ((packed >> places) & 1).view(-1)
