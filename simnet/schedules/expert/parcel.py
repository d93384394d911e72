"""What one rank sends another of a layer's rows: those that it knows coded, others whole."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from simnet.codecs.named import spec
from simnet.codecs.residual import Coder, Residual, check_length
from simnet.schedules.expert.rows import Precision


class Sent(NamedTuple):
    """What an exchange was of."""

    step: int  # whose tokens
    half: bool  # one slot of each alone


class Travel(NamedTuple):
    """How an exchange's rows travel: to each rank those that it knows, then the others."""

    order: Any  # (M,) places among the rows by their pairs' numbers
    at: Any  # (M,) in that order: where their bases stand, or -1
    known: Sequence[int]  # rows of each rank that it knows
    rows: Sequence[int]  # all rows of each rank
    half: bool  # one slot of each token alone


@dataclass(frozen=True)
class Parcel:
    """One message: `head` bytes, then rows of so many elements of a type.

    The known ones are coded together where that makes fewer bytes of them than `precision` does,
    which it does not of very few rows. In warm-up steps the code is the model's own type.
    """

    precision: Precision
    width: int  # D
    dtype: torch.dtype
    coder: Coder | None = None
    head: int = 0

    def coded(self, known: int) -> int:
        """How many of so many known rows are coded: all, or none."""
        if self.coder is None or known == 0:
            return 0
        coded = self.coder.nbytes((known, self.width), self.dtype)
        return known if coded < self.whole(known) else 0

    def whole(self, rows: int) -> int:
        """Bytes of so many rows that are not coded."""
        return rows * self.precision.row_bytes(self.width, self.dtype.itemsize)

    def nbytes(self, known: int, rows: int) -> int:
        """Of the message, with so many rows of which so many are known."""
        coded = self.coded(known)
        whole = self.head + self.whole(rows - coded)
        if self.coder is None or coded == 0:
            return whole
        return whole + self.coder.nbytes((coded, self.width), self.dtype)

    def sizes(self, known: Sequence[int], rows: Sequence[int]) -> list[int]:
        """Of the messages to, or from, all ranks."""
        return [self.nbytes(*pair) for pair in zip(known, rows, strict=True)]

    @property
    def name(self) -> str:
        """What traces and profiles call it."""
        return spec(self.coder) if isinstance(self.coder, Residual) else f"to {self.precision}"


@dataclass(frozen=True)
class Pack:
    """From rows to messages. Equal ones cost the same."""

    parcel: Parcel

    @property
    def __name__(self) -> str:
        """What traces and profiles call it."""
        return f"encode {self.parcel.name}"

    def __call__(
        self, rows: Tensor, bases: Tensor, travel: Travel, heads: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """All ranks' messages, of rows (M, D); and as what they will be taken, as they travel.

        `bases` are (K, D), and `heads` (ranks, bytes) go before each message.
        """
        order, at, known, sizes, _ = travel
        messages, taken = [], []
        parts = zip(rows[order].split(list(sizes)), at.split(list(sizes)), known, strict=True)
        for rank, (own, where, count) in enumerate(parts):
            coded = self.parcel.coded(count)
            whole = self._whole(own[coded:])
            messages += [] if heads is None else [heads[rank]]
            if self.parcel.coder is not None and coded:
                state = (bases[where[:coded]],)
                payload, (base,) = self.parcel.coder.encode(state, own[:coded])
                messages.append(payload)
                taken.append(base)
            messages.append(whole)
            taken.append(_of_bytes(self.parcel, whole))
        return torch.cat(messages), torch.cat(taken)

    def _whole(self, rows: Tensor) -> Tensor:
        return self.parcel.precision(rows).contiguous().view(torch.uint8).flatten()


@dataclass(frozen=True)
class Unpack:
    """From messages to rows."""

    parcel: Parcel

    @property
    def __name__(self) -> str:
        """What traces and profiles call it."""
        return f"decode {self.parcel.name}"

    def __call__(
        self, messages: Sequence[Tensor], bases: Tensor, travel: Travel
    ) -> tuple[Tensor, Tensor]:
        """Rows (M, D) in the order of their pairs' numbers, and as they travelled.

        Raises ScheduleError for a message of another length.
        """
        order, at, known, sizes, _ = travel
        taken = []
        for message, where, *pair in zip(
            messages, at.split(list(sizes)), known, sizes, strict=True
        ):
            check_length(message, self.parcel.nbytes(*pair), "rows of experts")
            coded = self.parcel.coded(pair[0])
            end = len(message) - self.parcel.whole(pair[1] - coded)
            if self.parcel.coder is not None and coded:
                base = bases[where[:coded]]
                payload = message[self.parcel.head : end]
                taken.append(self.parcel.coder.decode((base,), payload, base)[0])
            taken.append(_of_bytes(self.parcel, message[end:]))
        travelled = torch.cat(taken)
        return torch.empty_like(travelled).index_copy(0, order, travelled), travelled


def _of_bytes(parcel: Parcel, whole: Tensor) -> Tensor:
    return parcel.precision.of_bytes(whole, parcel.width, parcel.dtype)
