"""What one rank did in one forward, in its order: computed, asked for a transfer, waited."""

from __future__ import annotations

from dataclasses import dataclass

from simnet.counting import Kernel
from simnet.ops import Group


@dataclass(frozen=True, slots=True)
class Stretch:
    """Computing, from one transfer, wait or end of a block to the next."""

    name: str
    layer: int
    shape: str  # of what the block was called with; "" outside the blocks
    kernels: tuple[Kernel, ...]

    @property
    def flop(self) -> int:
        """Of matrix products."""
        return sum(kernel.flop for kernel in self.kernels)


@dataclass(frozen=True, slots=True)
class Exchange:
    """A transfer that was asked for.

    `peer` is a place in the group: of the rank sent to or received from, or of the root; -1 where
    there is none. `sends` and `takes` are rows for and from each place, where they differ.
    """

    kind: str
    name: str
    layer: int
    group: Group
    shape: tuple[int, ...]
    dtype: str
    nbytes: int
    peer: int = -1
    sends: tuple[int, ...] | None = None
    takes: tuple[int, ...] | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """Waiting for an exchange, by its number among the rank's."""

    exchange: int
    name: str
    layer: int


Noted = Stretch | Exchange | Pause


@dataclass(frozen=True, slots=True)
class Part:
    """One rank's forward, and the communicators that it is a member of, as they were made."""

    noted: tuple[Noted, ...]
    groups: tuple[Group, ...]
    dtype: str  # of most weights

    @property
    def exchanges(self) -> list[Exchange]:
        """The transfers."""
        return [each for each in self.noted if isinstance(each, Exchange)]

    @property
    def flop(self) -> int:
        """Of all matrix products."""
        return sum(each.flop for each in self.noted if isinstance(each, Stretch))
