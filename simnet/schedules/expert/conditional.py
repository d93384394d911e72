"""Conditional communication: of a token's two slots one is sent in every step, one in some.

The slot that is not sent is made up for by its output of an earlier step (DICE, section
"Conditional Communication").
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, NamedTuple

from simnet.job import Job
from simnet.schedules.expert.choice import Choice
from traces.errors import InputError


@dataclass(frozen=True)
class Policy(Choice):
    """Which of a token's two slots may be left out.

    `low`: the one of the lower score; `high`; `random`: the same one for the whole run.
    """

    what: ClassVar[str] = "policy of conditional communication"
    names: ClassVar[tuple[str, ...]] = ("none", "low", "high", "random")

    def kept(self, job: Job) -> Any:
        """The slot of each of a rank's N tokens that is always sent, (N,)."""
        import torch

        tokens = job.batch * job.preset.tokens
        if self.name != "random":
            slot = 0 if self.name == "low" else 1
            return torch.full((tokens,), slot, device=job.device)
        return job.coins.to(job.device)

    @property
    def slot(self) -> int | None:
        """The slot that is always sent, where that is the same one for all tokens."""
        return {"low": 0, "high": 1}.get(self.name)


NOBODY, LOW = Policy("none"), Policy("low")


class Refreshed:
    """One rank's outputs of slots that may be left out, by layer.

    As the paper says: asynchronous layers send both slots in every `period`-th step.
    """

    def __init__(self, period: int) -> None:
        self.period = period
        self.laid_by: dict[int, tuple[Any, Any, int]] = {}

    def leaves_out(self, left: int, layer: int, *, synchronous: bool) -> bool:
        """Whether to send one slot alone, with so many steps left, this one counted."""
        return not synchronous and layer in self.laid_by and left % self.period != 0

    def put(self, layer: int, step: int, other: tuple[Any, Any]) -> None:
        """Lay by what came for the other slots: outputs (N, D) of that step, their experts (N,)."""
        self.laid_by[layer] = (*other, step)

    def take(self, layer: int) -> tuple[Any, Any, int]:
        """What was laid by, and of which step it is."""
        return self.laid_by[layer]

    def clear(self) -> None:
        """Forget all."""
        self.laid_by.clear()


class UsedUp(Refreshed):
    """As the released code does: what was laid by serves once, and synchronous layers take part.

    A layer with nothing laid by sends both slots. Where outputs come a step late that is every
    second time, so that with a period of 2 the slots are left out in a quarter of the steps.
    """

    def leaves_out(self, left: int, layer: int, *, synchronous: bool) -> bool:
        """See Refreshed."""
        del synchronous
        return super().leaves_out(left, layer, synchronous=False)

    def take(self, layer: int) -> tuple[Any, Any, int]:
        """See Refreshed."""
        try:
            return self.laid_by.pop(layer)
        except KeyError:
            raise InputError(
                f"conditional communication: with a period of {self.period}, two exchanges of one "
                f"slot alone follow each other in layer {layer}, and what was laid by serves once"
            ) from None


class Turn(NamedTuple):
    """One step of a layer."""

    half: bool  # one slot of each token is sent alone
    oldest: int  # the age of the oldest outputs


def turns(memory: Refreshed, forced: Sequence[bool], lag: int, *, synchronous: bool) -> list[Turn]:
    """What a layer does in each step, whose outputs come `lag` steps late.

    `forced` says which steps are synchronous in all layers.
    """
    made: list[Turn] = []
    coming = deque[tuple[bool, int]]()  # what is under way: half of it, and of which step
    for step, everything in enumerate(forced):
        if everything:
            memory.clear()
            memory.put(0, step, (None, None))
            coming = deque([(False, step)] * lag)
            made.append(Turn(half=False, oldest=0))
            continue
        half = memory.leaves_out(len(forced) - step, 0, synchronous=synchronous)
        coming.append((half, step))
        is_half, oldest = coming.popleft()
        if is_half:
            *_, oldest = memory.take(0)
        else:
            memory.put(0, oldest, (None, None))
        made.append(Turn(half, step - oldest))
    return made
