"""A random projection of a tensor to few numbers that keeps inner products, and costs one reading.

A count-sketch (Charikar, Chen and Farach-Colton 2002): each number is added, with a random sign, to
one of m buckets. Of two tensors that are projected alike, the products of the projections add up to
that of the tensors, within |x| |y| sqrt((1 + c^2) / m), c their cosine, as standard deviation
(Weinberger et al. 2009, lemma 2, with unbiased signs).

So that it is a few sums of whole rows, and the same each time, numbers lie in the buckets as they
do in memory, m in a row, and groups of rows are turned by a random number of places. As m is prime,
no stride of the tensor falls on it: channels that are always large are spread over all buckets.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn.functional import pad

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Rows that are turned together.
ROWS = 16
#: Numbers that are worked on at a time: what a core's cache holds, and what keeps a GPU busy.
SLAB = {"cpu": 1 << 18, "cuda": 1 << 22}
#: Standard errors within which 95 of 100 normal errors are: 1.96, rounded up.
_DEVIATIONS = 2.0


def buckets(error: float) -> int:
    """The prime that is enough for so large an error of a cosine, for 95 of 100 pairs.

    With known norms, the standard error of the likeliest cosine c is (1 - c^2) / sqrt((1 + c^2) m)
    (Li, Hastie and Church 2006, "Improving random projections using marginal information",
    lemma 2), at most 1 / sqrt(m).
    """
    least = max(2, round((_DEVIATIONS / error) ** 2))
    return next(
        m for m in range(least, 2 * least + 1) if all(m % d for d in range(2, int(m**0.5) + 1))
    )


class Projection:
    """To `buckets` numbers; the same seed is the same projection, on every device and rank.

    The sign of the p-th number is the p-th bit that Philox gives with the key (seed, 0), the least
    of each byte first; a group's turn is its 64-bit number with the key (seed, 1), modulo m.
    """

    def __init__(self, seed: int, buckets: int) -> None:
        self.seed = seed
        self.buckets = buckets
        self._signs: dict[torch.device, torch.Tensor] = {}
        self._sources: dict[torch.device, torch.Tensor] = {}

    def __call__(self, flat: torch.Tensor) -> torch.Tensor:
        """(n,) to (min(n, m),), float32, on the same device; n <= m is given back as it is."""
        m, device = self.buckets, flat.device
        if len(flat) <= m:
            return flat.float().clone()
        signs = self._signs_on(device, len(flat))
        step = max(1, SLAB.get(device.type, SLAB["cuda"]) // (ROWS * m)) * ROWS * m
        parts = [
            self._groups(flat[low : low + step].float() * signs[low : low + step])
            for low in range(0, len(flat), step)
        ]
        groups = torch.cat(parts)
        return groups.gather(1, self._sources_on(device, len(groups))).sum(0)

    def _groups(self, signed: torch.Tensor) -> torch.Tensor:
        """(groups, m): sums over the rows of each; the last may be of fewer."""
        m = self.buckets
        whole = len(signed) // (ROWS * m)
        found = [signed[: whole * ROWS * m].view(whole, ROWS, m).sum(1)] if whole else []
        rest = signed[whole * ROWS * m :]
        if len(rest):
            found.append(pad(rest, (0, -len(rest) % m)).view(1, -1, m).sum(1))
        return torch.cat(found)

    def _signs_on(self, device: torch.device, count: int) -> torch.Tensor:
        known = self._signs.get(device)
        if known is None or len(known) < count:
            raw = _random(self.seed, 0, -(-count // 64)).astype("<u8").view(np.uint8)
            bits = np.unpackbits(raw, bitorder="little").view(np.int8)
            known = self._signs[device] = torch.from_numpy(1 - 2 * bits).to(device)
        return known[:count]

    def _sources_on(self, device: torch.device, groups: int) -> torch.Tensor:
        """(groups, m): from which place of its group each bucket is filled."""
        known = self._sources.get(device)
        if known is None or len(known) < groups:
            turns = (_random(self.seed, 1, groups) % np.uint64(self.buckets)).astype(np.int64)
            places = (np.arange(self.buckets) - turns[:, None]) % self.buckets
            known = self._sources[device] = torch.from_numpy(places).to(device)
        return known[:groups]


def _random(seed: int, stream: int, count: int) -> NDArray[np.uint64]:
    """The same bits with every version: numpy promises that of its bit generators."""
    key = np.array([seed, stream], np.uint64)
    drawn: NDArray[np.uint64] = np.random.Philox(key=key).random_raw(count)
    return drawn
