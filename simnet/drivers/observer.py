"""Whoever wants to know what a driver does while it does it: a recorder, a progress bar."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from traces.operation import Operation


class Observer:
    """Is told of activations and finished steps; this one takes no notice."""

    def keep(self, rank: int, step: int, layer: int, name: str, value: Any) -> None:
        """A schedule offers an activation."""

    def step_done(self, rank: int, step: int, operations: Sequence[Operation]) -> None:
        """A rank is through with a step, in which it did these operations.

        A transfer that is still under way has no end yet; its operation is given one later.
        """


class Observers(Observer):
    """Several, told one after the other."""

    def __init__(self, *observers: Observer) -> None:
        self.observers = observers

    def keep(self, rank: int, step: int, layer: int, name: str, value: Any) -> None:
        """See Observer."""
        for observer in self.observers:
            observer.keep(rank, step, layer, name, value)

    def step_done(self, rank: int, step: int, operations: Sequence[Operation]) -> None:
        """See Observer."""
        for observer in self.observers:
            observer.step_done(rank, step, operations)
