"""What conditions may be put on: a topology that says what it is called, and what they are."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from simnet.network.carriage import Routed
from simnet.network.conditions.conditions import Conditions


@runtime_checkable
class Named(Routed, Protocol):
    """A topology with a name, and what its file says of its conditions."""

    @property
    def name(self) -> str:
        """For tables and figures."""
        ...

    @property
    def conditions(self) -> Conditions | None:
        """Kept for whoever simulates."""
        ...
