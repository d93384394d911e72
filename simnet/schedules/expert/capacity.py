"""Experts that take a fixed number of rows from each rank, so that no rank must ask how many.

Shapes: M slots of a rank, E experts, C rows for each.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from fractions import Fraction
from typing import ClassVar

import torch
from torch import Tensor

from simnet.schedules.expert.number import Number


@dataclass(frozen=True)
class Capacity(Number):
    """How many times the even share each expert has room for (Fedus et al. 2022, equation 3).

    0 stands for as many as there are.
    """

    what: ClassVar[str] = "capacity"

    def rows(self, slots: int, experts: int) -> int:
        """C, that an expert takes of so many slots: ceil(capacity x slots / experts)."""
        return math.ceil(Fraction(str(self)) * slots / experts)


UNBOUNDED = Capacity(0.0)


def fit(chosen: Tensor, scores: Tensor, places: Tensor, room: int) -> tuple[Tensor, Tensor]:
    """Slots (E C,) that find room, in the order of their experts' places; and (M,) which do not.

    Where more slots want an expert than it has room for, those of the highest scores go, and of
    equal ones the first (as in batch prioritized routing, Riquelme et al. 2021, but each slot by
    its own score): by the tokens' order the last image of a batch would lose most. Those that go
    stay in their own order; where fewer want it, M stands for a row of nothing. `scores` (N, E) are
    the gate's; `chosen` is (N, k) or (N,).
    """
    wanted = scores.gather(1, chosen.view(len(scores), -1)).flatten()
    place = places[chosen.flatten()]
    best_first = wanted.argsort(descending=True, stable=True)
    best_first = best_first[place[best_first].argsort(stable=True)]
    counts = torch.zeros_like(places).scatter_add(0, place, torch.ones_like(place))
    sorted_place, slots = place[best_first], len(place)
    rank = torch.arange(slots, device=place.device) - (counts.cumsum(0) - counts)[sorted_place]
    lost = rank >= room
    berth = torch.where(lost, len(places) * room, sorted_place * room + rank)
    order = torch.full((len(places) * room + 1,), slots, device=place.device)
    order = order.scatter(0, berth, best_first)[:-1]
    dropped = torch.zeros_like(lost).scatter(0, best_first, lost)
    return order.view(-1, room).sort(dim=1).values.flatten(), dropped


def filled(rows: Tensor, order: Tensor, top: int) -> Tensor:
    """The token of each slot (E C, D), in that order; zeros where there is none."""
    nothing = rows.new_zeros(1, rows.shape[1])
    tokens = order.div(top, rounding_mode="floor")
    return torch.cat((rows, nothing)).index_select(0, tokens)


def emptied(parts: list[Tensor], order: Tensor, slots: int, top: int) -> Tensor:
    """Outputs (N, k, D) of all slots, of the rows as they came back; zeros for those dropped."""
    rows = torch.cat(parts)
    out = rows.new_zeros(slots + 1, rows.shape[1]).index_copy(0, order, rows)[:-1]
    return out.view(-1, top, rows.shape[1])
