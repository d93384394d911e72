"""Which codec a tensor is sent with, by its name, its layer and the step."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

from simnet.codecs.residual import Coder, Residual
from traces.errors import InputError


class Rule(Protocol):
    """Rules nest: each decides one thing, and leaves the rest to the rules it holds."""

    def __call__(self, tensor: str, layer: int, step: int) -> Coder:
        """What to send this tensor ("k", "v") of this layer with in this step."""
        ...

    def residuals(self) -> Iterator[Residual]:
        """All that it may choose from."""
        ...


@dataclass(frozen=True)
class Everywhere:
    """The same for everything; its own warm-up steps come first."""

    residual: Residual

    def __call__(self, tensor: str, layer: int, step: int) -> Coder:
        """See Rule."""
        return self.residual.named(f"{tensor} of layer {layer} in step {step}").at(step)

    def residuals(self) -> Iterator[Residual]:
        """See Rule."""
        yield self.residual


@dataclass(frozen=True)
class ByTensor:
    """One rule for keys, and another for values (and whatever else is sent)."""

    keys: Rule
    others: Rule

    def __call__(self, tensor: str, layer: int, step: int) -> Coder:
        """See Rule."""
        return (self.keys if tensor == "k" else self.others)(tensor, layer, step)

    def residuals(self) -> Iterator[Residual]:
        """See Rule."""
        yield from self.keys.residuals()
        yield from self.others.residuals()


@dataclass(frozen=True)
class FromLayer:
    """Another rule from a layer on."""

    before: Rule
    layer: int
    after: Rule

    def __call__(self, tensor: str, layer: int, step: int) -> Coder:
        """See Rule."""
        return (self.before if layer < self.layer else self.after)(tensor, layer, step)

    def residuals(self) -> Iterator[Residual]:
        """See Rule."""
        yield from self.before.residuals()
        yield from self.after.residuals()


@dataclass(frozen=True)
class FromStep:
    """Another rule from a step on, which goes on from the states of the one before.

    Raises InputError where these would be of another recursion, or not there yet.
    """

    before: Rule
    step: int
    after: Rule

    def __post_init__(self) -> None:
        if len({residual.recursion for residual in self.residuals()}) != 1:
            raise InputError(
                f"another codec from step {self.step}: both must be residuals of the same order, "
                "decay and error feedback, for one goes on from what the other has left"
            )
        if any(self.step < residual.warmup_steps for residual in self.before.residuals()):
            raise InputError(
                f"another codec from step {self.step}: that is within the first one's warm-up "
                "steps; start with the other one"
            )

    def __call__(self, tensor: str, layer: int, step: int) -> Coder:
        """See Rule."""
        return (self.before if step < self.step else self.after)(tensor, layer, step)

    def residuals(self) -> Iterator[Residual]:
        """See Rule."""
        yield from self.before.residuals()
        yield from self.after.residuals()
