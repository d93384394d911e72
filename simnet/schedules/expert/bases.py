"""What one end of a stream of rows remembers, so that they can be coded against it.

Shapes: M rows of an exchange, K pairs remembered, D width, E experts, N tokens (see `pairs`).
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import chain
from typing import Any, NamedTuple

import torch
from torch import Tensor

from simnet.ops import Compute
from simnet.schedules.base import Steps
from simnet.schedules.expert.parcel import Pack, Parcel, Sent, Travel, Unpack


class Plan(NamedTuple):
    """What an end knows of an exchange's rows beforehand; see Travel."""

    pairs: Any  # (M,), rising
    order: Any
    at: Any
    known: Any  # (E,) how many the other end knows, for each expert of each rank


class Bases:
    """One end, of one layer's rows one way: what each pair was last taken to be by the receiver.

    An exchange of all slots leaves those that are in it; one of a slot alone adds to those that
    are there. A rank's rows for itself are left out, for they are not coded. Which pairs will be
    there is known when an exchange is asked for, and their rows only when it is over: between the
    two the next one may be planned.
    """

    def __init__(self, place: int, experts: int, tokens: int, ranks: int) -> None:
        self.place = place
        self.shape = experts, tokens, ranks
        self.pairs: Any = None  # (K,), once there are any
        self.rows: Any = None  # (K, D)
        self.sent: tuple[Sent, ...] = ()  # the last whole exchange, and those since

    def plan(self, pairs: Any) -> Steps:
        """A Plan for these pairs (M,)."""
        there = pairs.new_empty(0) if self.pairs is None else self.pairs
        return Plan(pairs, *(yield Compute(planned, pairs, there, *self.shape)))

    def expect(self, plan: Plan, travel: Travel, step: int) -> Steps:
        """From now on these pairs are known, if only by number."""
        pairs = yield Compute(torch.index_select, plan.pairs, 0, plan.order)
        if travel.half:
            pairs = yield Compute(extended, self.pairs, pairs, *travel[2:4], self.place)
        else:
            pairs = yield Compute(others, pairs, travel.rows, self.place)
            self.sent = ()
        self.pairs, self.sent = pairs, (*self.sent, Sent(step, travel.half))

    def pack(self, parcel: Parcel, rows: Any, travel: Travel, heads: Any) -> Steps:
        """All ranks' messages, of rows (M, D)."""
        bases = rows.new_empty(0, parcel.width) if self.rows is None else self.rows
        message, taken = yield Compute(Pack(parcel), rows, bases, travel, heads)
        yield from self._advance(taken, travel)
        return message

    def unpack(self, parcel: Parcel, messages: Any, travel: Travel) -> Steps:
        """The rows (M, D) that came in all ranks' messages."""
        bases = self.rows
        if bases is None:
            bases = messages[0].new_empty(0, parcel.width, dtype=parcel.dtype)
        rows, taken = yield Compute(Unpack(parcel), messages, bases, travel)
        yield from self._advance(taken, travel)
        return rows

    def _advance(self, taken: Any, travel: Travel) -> Steps:
        if travel.half:
            self.rows = yield Compute(updated, self.rows, taken, travel, self.place)
        else:
            self.rows = yield Compute(others, taken, travel.rows, self.place)


def planned(
    pairs: Tensor, there: Tensor, experts: int, tokens: int, ranks: int
) -> tuple[Tensor, Tensor, Tensor]:
    """See Plan: for pairs (M,), where bases of others (K,) are there."""
    nowhere = torch.full((experts * tokens,), -1, device=pairs.device)
    where = nowhere.scatter(0, there, torch.arange(len(there), device=pairs.device))
    at = where[pairs]
    expert = pairs.div(tokens, rounding_mode="floor")
    rank = expert.div(experts // ranks, rounding_mode="floor")
    order = (2 * rank + (at < 0)).argsort(stable=True)
    known = torch.zeros(experts, dtype=pairs.dtype, device=pairs.device)
    return order, at[order], known.scatter_add(0, expert, (at >= 0).to(pairs.dtype))


def others(travelling: Tensor, rows: Sequence[int], place: int) -> Tensor:
    """Without those that stay on the rank at this place."""
    parts = travelling.split(list(rows))
    return torch.cat([*parts[:place], *parts[place + 1 :]])


def extended(
    there: Tensor, travelling: Tensor, known: Sequence[int], rows: Sequence[int], place: int
) -> Tensor:
    """What is there, and after it what was not."""
    rest = [every - some for some, every in zip(known, rows, strict=True)]
    new = torch.cat(_parts(travelling, known, rows)[1::2])
    return torch.cat((there, others(new, rest, place)))


def updated(there: Tensor, taken: Tensor, travel: Travel, place: int) -> Tensor:
    """The same of rows, with what came for those that are there put in their place."""
    _, at, known, rows, _ = travel
    old, where = (torch.cat(_parts(each, known, rows)[::2]) for each in (taken, at))
    return extended(there.index_copy(0, where, old), taken, known, rows, place)


def _parts(travelling: Tensor, known: Sequence[int], rows: Sequence[int]) -> list[Tensor]:
    """Of each rank, what it knows, and the rest."""
    sizes = chain.from_iterable(
        (some, every - some) for some, every in zip(known, rows, strict=True)
    )
    return list(travelling.split(list(sizes)))
