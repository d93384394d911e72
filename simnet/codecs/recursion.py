"""What sender and receiver remember of a tensor from step to step, and how they bring it forward.

A state is a tuple of matrices (N, C) in the activation's type. In each step the sender codes what
its state does not predict, and both put what came through the codec on top of their prediction.
CompactFusion (arXiv 2507.17511), section 3; b is the base, Q(d) the residual d through the codec.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Protocol

from torch import Tensor

#: What one end remembers of one tensor; () before the first step.
State = tuple[Tensor, ...]


class Recursion(Protocol):
    """Pure functions on states; new states share memory with what they were made from."""

    kept: ClassVar[int]  # matrices in a state, once warm
    warmup_steps: ClassVar[int]  # the least that makes it warm
    feedback: ClassVar[bool]  # the sender goes on from what the receivers have

    def residual(self, state: State, x: Tensor) -> Tensor:
        """What is to be coded of x."""
        ...

    def advance(self, state: State, coded: Tensor) -> tuple[Tensor, State]:
        """From a coded residual: (what x is taken to be, the next state)."""
        ...

    def warm(self, state: State, x: Tensor) -> State:
        """The next state of both ends where x itself was sent, and of a sender without feedback."""
        ...


@dataclass(frozen=True)
class Direct:
    """Order 0: every step is coded by itself; nothing is remembered."""

    kept: ClassVar[int] = 0
    warmup_steps: ClassVar[int] = 0
    feedback: ClassVar[bool] = False

    def residual(self, state: State, x: Tensor) -> Tensor:
        """The activation itself."""
        del state
        return x

    def advance(self, state: State, coded: Tensor) -> tuple[Tensor, State]:
        """See Recursion."""
        return coded, state

    def warm(self, state: State, x: Tensor) -> State:
        """See Recursion."""
        del x
        return state


class _Change:
    """Order 1: d = x - b."""

    kept: ClassVar[int] = 1
    warmup_steps: ClassVar[int] = 1

    def residual(self, state: State, x: Tensor) -> Tensor:
        """The activation minus the base."""
        (base,) = state
        return x - base

    def advance(self, state: State, coded: Tensor) -> tuple[Tensor, State]:
        """See Recursion."""
        (base,) = state
        base = base + coded
        return base, (base,)

    def warm(self, state: State, x: Tensor) -> State:
        """See Recursion."""
        del state
        return (x,)


@dataclass(frozen=True)
class ClosedLoop(_Change):
    """Order 1 with error feedback: d = x - b, and b + Q(d) is the next b of both ends.

    What the codec lost is part of the next residual, so that the error stays bounded.
    """

    feedback: ClassVar[bool] = True


@dataclass(frozen=True)
class OpenLoop(_Change):
    """Order 1 without error feedback: the sender's next b is x, the receivers' is b + Q(d).

    The receivers' error is the sum of all that the codec lost: a random walk.
    """

    feedback: ClassVar[bool] = False


@dataclass(frozen=True)
class Trend:
    """Order 2: a base b and a trend g; d = x - b - g.

    Both ends go on with b + g + Q(d), and with decay (g + Q(d)) for g. The second warm-up step is
    the first to know a trend.
    """

    decay: float
    kept: ClassVar[int] = 2
    warmup_steps: ClassVar[int] = 2
    feedback: ClassVar[bool] = True

    def residual(self, state: State, x: Tensor) -> Tensor:
        """What base and trend do not predict."""
        base, trend = state
        return x - base - trend

    def advance(self, state: State, coded: Tensor) -> tuple[Tensor, State]:
        """See Recursion."""
        base, trend = state
        change = trend + coded
        base = base + change
        return base, (base, self.decay * change)

    def warm(self, state: State, x: Tensor) -> State:
        """See Recursion."""
        return (x, x - state[0]) if state else (x,)
