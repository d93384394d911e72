"""How the arithmetic of a step is run: operation by operation, or fused into a few kernels."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, ClassVar, Protocol, cast, runtime_checkable

import torch
from torch import Tensor

from simnet.codecs.base import Codec
from simnet.codecs.recursion import Recursion, State


@dataclass(frozen=True)
class Method:
    """A codec, and the recursion it is applied in."""

    codec: Codec
    recursion: Recursion

    def encode(self, state: State, x: Tensor) -> tuple[Tensor, State]:
        """The payload, and the sender's next state."""
        payload = self.codec.encode(self.recursion.residual(state, x))
        if self.recursion.feedback:
            return payload, self.decode(state, payload, x)[1]
        return payload, self.recursion.warm(state, x)

    def decode(self, state: State, payload: Tensor, like: Tensor) -> tuple[Tensor, State]:
        """What x is taken to be, and the receiver's next state."""
        coded = self.codec.decode(payload, like.shape, like.dtype)
        return self.recursion.advance(state, coded)


class Execution(Protocol):
    """Runs a method's two functions."""

    def encode(self, method: Method, state: State, x: Tensor) -> tuple[Tensor, State]:
        """See Method."""
        ...

    def decode(
        self, method: Method, state: State, payload: Tensor, like: Tensor
    ) -> tuple[Tensor, State]:
        """See Method."""
        ...


@dataclass(frozen=True)
class Eager:
    """One operation after the other, as torch does."""

    def encode(self, method: Method, state: State, x: Tensor) -> tuple[Tensor, State]:
        """See Method."""
        return method.encode(state, x)

    def decode(
        self, method: Method, state: State, payload: Tensor, like: Tensor
    ) -> tuple[Tensor, State]:
        """See Method."""
        return method.decode(state, payload, like)


@runtime_checkable
class Fusible(Codec, Protocol):
    """A codec without large intermediate results."""

    passes: ClassVar[int]  # how often a fused encode goes over its matrix


@dataclass(frozen=True)
class Fused:
    """By torch.compile, for GPUs; of methods whose codec is Fusible.

    The first use of a shape takes seconds. All ranks must use it, or none: fused arithmetic may
    round otherwise, and states are equal only where both ends ran the same kernels.

    Meta tensors are not compiled. For them it launches as many kernels as fusing leaves, each of
    which reads and writes what it must: a kernel for each pass over x and the state, and one that
    brings the state forward.
    """

    def encode(self, method: Method, state: State, x: Tensor) -> tuple[Tensor, State]:
        """See Method."""
        if not x.is_meta:
            return cast("tuple[Tensor, State]", _compiled(method, "encode")(state, x))
        codec = cast("Fusible", method.codec)
        for _ in range(codec.passes - 1):
            _kernel([x, *state], 4 * sum(x.shape))
        payload = _kernel([x, *state], codec.nbytes(x.shape, x.dtype))
        if method.recursion.feedback:
            return payload, self.decode(method, state, payload, x)[1]
        return payload, method.recursion.warm(state, x)

    def decode(
        self, method: Method, state: State, payload: Tensor, like: Tensor
    ) -> tuple[Tensor, State]:
        """See Method."""
        if not payload.is_meta:
            return cast("tuple[Tensor, State]", _compiled(method, "decode")(state, payload, like))
        kept = method.recursion.kept
        written = _kernel([payload, *state], max(kept, 1) * like.nbytes)
        matrices = written.view(like.dtype).view(-1, *like.shape).unbind()
        return matrices[0], tuple(matrices[:kept])


@lru_cache(maxsize=64)
def _compiled(method: Method, name: str) -> Callable[..., Any]:
    return torch.compile(getattr(method, name), fullgraph=True, dynamic=False)


@torch.library.custom_op("thinwire::kernel", mutates_args=())
def _kernel(reads: Sequence[Tensor], written_bytes: int) -> Tensor:
    """Some kernel that reads these tensors and writes so many bytes; for meta tensors only."""
    raise NotImplementedError


@_kernel.register_fake
def _(reads: Sequence[Tensor], written_bytes: int) -> Tensor:
    return torch.empty(written_bytes, dtype=torch.uint8, device=reads[0].device)
