"""How rows of tokens go to other ranks: as they are, or in fewer bits, each row by itself.

A row keeps its place, for where it goes depends on the token. Shapes: M rows, D their width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from simnet.schedules.expert.choice import Choice

#: The largest number of float8 (e4m3), to which a row's largest is scaled.
_LARGEST = 448.0
_SMALLEST = 2.0**-126  # a row of zeros is divided by this


@dataclass(frozen=True)
class Precision(Choice):
    """The type that rows travel in; `model` is the one that they have."""

    what: ClassVar[str] = "precision on the wire"
    names: ClassVar[tuple[str, ...]] = ("model", "float32", "float16", "float8")

    @property
    def __name__(self) -> str:
        """What traces and profiles call it."""
        return f"to {self.name}"

    def __call__(self, rows: Tensor) -> Tensor:
        """Rows (M, D) as they travel: of float8, bytes (M, 4 + D) with each row's scale first."""
        if self.name == "model":
            return rows
        if self.name != "float8":
            return rows.to(getattr(torch, self.name))
        scale = rows.float().abs().amax(dim=1, keepdim=True).div(_LARGEST)
        scale = scale.clamp(min=_SMALLEST)
        coded = (rows.float() / scale).to(torch.float8_e4m3fn)
        return torch.cat((scale.view(torch.uint8), coded.view(torch.uint8)), dim=1)

    def row_bytes(self, width: int, itemsize: int) -> int:
        """Of one row of so many elements of so many bytes."""
        if self.name == "model":
            return width * itemsize
        if self.name == "float8":
            return 4 + width
        size: int = getattr(torch, self.name).itemsize
        return width * size

    def of_bytes(self, payload: Tensor, width: int, dtype: torch.dtype) -> Tensor:
        """The rows (M, D) of this type that travelled as these bytes, one after the other."""
        rows = payload.clone()  # which may have started at an odd address
        if self.name != "float8":
            rows = rows.view(dtype if self.name == "model" else getattr(torch, self.name))
            return rows.view(-1, width).to(dtype)
        return _restored(rows.view(-1, self.row_bytes(width, dtype.itemsize)), dtype)


def restored(parts: list[Tensor], like: Tensor) -> list[Tensor]:
    """Parts of rows as they travelled, in the type of `like`."""
    return [_restored(part, like.dtype) for part in parts]


def _restored(rows: Tensor, dtype: torch.dtype) -> Tensor:
    if rows.dtype != torch.uint8:
        return rows.to(dtype)
    scale, coded = rows[:, :4].contiguous(), rows[:, 4:].contiguous()
    return (coded.view(torch.float8_e4m3fn).float() * scale.view(torch.float32)).to(dtype)


AS_IT_IS, FLOAT32 = Precision("model"), Precision("float32")
