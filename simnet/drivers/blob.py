"""What stands for a tensor in a replay: its size, shape and type, and no numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Blob:
    """So many bytes of what was transferred, of the same shape and type as then."""

    nbytes: int
    shape: tuple[int, ...]
    dtype: str

    def __add__(self, other: Blob) -> Blob:
        return self

    def chunk(self, chunks: int) -> Sequence[Blob]:
        """Equal parts along dim 0."""
        first, *rest = self.shape
        return [Blob(self.nbytes // chunks, (first // chunks, *rest), self.dtype)] * chunks

    def split(self, sizes: Sequence[int]) -> Sequence[Blob]:
        """Parts of so many rows along dim 0."""
        first, *rest = self.shape
        row_bytes = self.nbytes // max(1, first)
        return [Blob(rows * row_bytes, (rows, *rest), self.dtype) for rows in sizes]
