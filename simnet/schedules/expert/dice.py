"""DICE: interweaved experts, synchronous deep layers, and slots of low score sent less often."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from simnet.schedules.expert.conditional import LOW, Policy, Refreshed, UsedUp
from simnet.schedules.expert.interweaved import Interweaved
from simnet.schedules.expert.layers import DEEP, Layers
from simnet.schedules.expert.scores import BY_POSITION, Scores


@dataclass(frozen=True)
class Dice(Interweaved):
    """Luo et al. 2025, "DICE" (arXiv 2411.16786), as the paper describes it.

    Interweaved, with the second half of the layers synchronous, and in the others the slot of the
    lower score sent in every second step.

        rank 0 | layers 0..L/2: interweaved, both slots or one | layers L/2..: in step, both slots |
    """

    name: ClassVar[str] = "dice"
    sync: Layers = DEEP
    skip: Policy = LOW


@dataclass(frozen=True)
class ReleasedDice(Dice):
    """Luo et al. 2025, "DICE" (arXiv 2411.16786), as the public code behaves.

    Slots are left out in synchronous layers too, and in asynchronous ones half as often as asked;
    old outputs are weighed by the current best scores, whosever they are.

        rank 0 | layers 0..L/2: interweaved, one slot in 1 of 4 steps | layers L/2..: in 1 of 2 |
    """

    name: ClassVar[str] = "dice-released"
    scores: Scores = BY_POSITION
    memory: ClassVar[type[Refreshed]] = UsedUp
