"""What becomes of a token's slots: sorted by their experts' places, sent, and put together again.

Shapes: N tokens of a rank, D their width, k slots each, M slots that are sent (k N or, where only
one of a token's two slots is, N), E experts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from simnet.models.mixture import combined, unpermuted
from simnet.schedules.expert.parcel import Sent


class Routed(NamedTuple):
    """One layer's tokens of one step, and where they go."""

    step: int
    layer: int
    scores: Any  # (N, E), of the gate
    chosen: Any  # (N, k) experts, the best first
    kept: Any  # (N,) the slot that is sent, or None where all are
    order: Any = None  # (M,) which slot each row that is sent belongs to
    loads: Sequence[
        Sequence[int]
    ] = ()  # of each member, for each expert in the order of their places
    known: Sequence[Sequence[int]] = ()  # of those, which the receiver knows, where rows are coded

    @property
    def is_half(self) -> bool:
        """Whether one slot of each token is sent alone."""
        return self.kept is not None

    @property
    def sent(self) -> Sent:
        """What its exchanges are of."""
        return Sent(self.step, self.is_half)

    @property
    def top(self) -> int:
        """How many slots of each token are sent."""
        top: int = self.chosen.shape[1]
        return 1 if self.is_half else top


class Arrived(NamedTuple):
    """What came back, mended where only one slot of each token was sent."""

    routed: Routed  # what it is of
    out: Any  # (N, k, D), not weighed yet
    experts: Any  # (N, k) whose outputs these are
    steps: tuple[int, ...]  # that outputs are of: of all slots, or of those sent and of the others


def sort(chosen: Tensor, places: Tensor) -> tuple[Tensor, Tensor]:
    """Slots (M,) in the order of their experts' places, and how many want each place (E,).

    `chosen` is (N, k), or (N,) where one slot of each token is sent; `places` (E,) says where each
    expert stands.
    """
    place = places[chosen.flatten()]
    counts = torch.zeros_like(places).scatter_add(0, place, torch.ones_like(place))
    return place.argsort(stable=True), counts


def pick(chosen: Tensor, kept: Tensor) -> Tensor:
    """The one slot of each token, (N,) of (N, k)."""
    return chosen.gather(1, kept.unsqueeze(1)).squeeze(1)


def whole(parts: list[Tensor], order: Tensor, top: int) -> Tensor:
    """Outputs (N, k, D) of all slots, of the rows as they came back."""
    rows = unpermuted(torch.cat(parts), order)
    return rows.view(-1, top, rows.shape[-1])


def other(out: Tensor, kept: Tensor) -> Tensor:
    """Of each token the slot that is not always sent: (N, D) of (N, 2, D), or (N,) of (N, 2)."""
    index = (1 - kept).view(-1, 1, *([1] * (out.ndim - 2)))
    return out.gather(1, index.expand(-1, 1, *out.shape[2:])).squeeze(1)


def mend(fresh: Tensor, old: Tensor, kept: Tensor) -> Tensor:
    """Both slots (N, 2, ...): the one that was sent, `fresh` (N, ...), and for the other `old`."""
    first = (kept == 0).view(-1, *([1] * (fresh.ndim - 1)))
    return torch.stack((fresh.where(first, old), old.where(first, fresh)), dim=1)


def weigh(out: Tensor, scores: Tensor, experts: Tensor) -> Tensor:
    """What each token gets (N, D): outputs (N, k, D), weighed by the scores (N, E) of experts."""
    return combined(out, scores.gather(1, experts))
