"""What is extracted: something that makes a module and what to call it with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from torch import nn


@dataclass(frozen=True)
class Program:
    """A module, and the arguments of one forward. Tensors may be on "meta"."""

    module: nn.Module
    args: Sequence[Any] = ()
    kwargs: Mapping[str, Any] = field(default_factory=dict)


class Subject(Protocol):
    """A model, and how its ranks share it."""

    @property
    def model(self) -> str:
        """Its name, for the trace."""
        ...

    @property
    def schedule(self) -> str:
        """How it is shared, for the trace."""
        ...

    @property
    def steps(self) -> int:
        """Forwards of a run, where nobody says how many."""
        ...

    @property
    def alike(self) -> bool:
        """Whether all ranks do the same, up to whom they do it with; looked at on two of them."""
        ...

    def make(self) -> Program:
        """As this process's rank of `torch.distributed`; parallelism is set up in it."""
        ...
