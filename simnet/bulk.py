"""So many bytes of anything: of other people's transfers only the size may be known."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Bulk:
    """A payload of `nbytes` bytes; what comes of it is of no interest.

    `text` is its shape as a trace has it, such as "2x64:float32"; "" where it is not known.
    """

    nbytes: int
    text: str = ""

    @property
    def shape(self) -> tuple[int, ...]:
        """Rows of a byte each, so that it can be cut anywhere."""
        return (self.nbytes,)

    def __add__(self, other: Any) -> Bulk:
        return self

    def chunk(self, chunks: int, /) -> Sequence[Bulk]:
        """Equal parts, up to a byte."""
        return [Bulk(self.nbytes // chunks)] * chunks

    def split(self, sizes: Sequence[int], /) -> Sequence[Bulk]:
        """Parts of so many bytes."""
        return [Bulk(nbytes) for nbytes in sizes]
