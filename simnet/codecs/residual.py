"""Codes not the activations but how they differ from what the receiver already has."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Protocol

import torch
from torch import Tensor

from simnet.codecs.base import Codec, Shape, check_finite, check_matrix, check_scales
from simnet.codecs.execution import Eager, Execution, Fused, Fusible, Method
from simnet.codecs.raw import Raw
from simnet.codecs.recursion import ClosedLoop, Direct, OpenLoop, Recursion, State, Trend
from traces.errors import InputError, ScheduleError

_RAW = Raw()
_EAGER = Eager()


class Coder(Protocol):
    """How one tensor is sent in one step."""

    @property
    def tensor(self) -> str:
        """What error messages call it."""
        ...

    def encode(self, state: State, x: Tensor) -> tuple[Tensor, State]:
        """The payload of x (N, C), and the sender's next state.

        Raises InputError for a tensor that is no such matrix, or holds NaN or infinity (on a CPU;
        `simnet.codecs.base.check_finite` says how to look on a GPU).
        """
        ...

    def decode(self, state: State, payload: Tensor, like: Tensor) -> tuple[Tensor, State]:
        """What x is taken to be, and the receiver's next state; `like` has x's shape and type.

        Neither is to be changed in place: they may share memory with each other and the payload.
        Raises ScheduleError for a payload of another length.
        """
        ...

    def nbytes(self, shape: Shape, dtype: torch.dtype) -> int:
        """Length of the payload."""
        ...

    def state_bytes(self, shape: Shape, dtype: torch.dtype, steps: int) -> int:
        """Memory of one end's state for one tensor, after so many steps."""
        ...


@dataclass(frozen=True)
class Residual:
    """A codec, applied to residuals of an order; `at(step)` gives what to send a step with.

    Order 0 codes the activations themselves, 1 their change, 2 the change of their change, of
    which `decay` is how much is carried over to the next step. CompactFusion (arXiv 2507.17511),
    section 3. With error feedback sender and receivers hold bitwise equal states after each step,
    on devices of one kind; without, the receivers' drift away.

    `execution` runs the arithmetic (see `fused`), and `tensor` is what error messages call the
    activation. Raises InputError for an order, decay or number of warm-up steps that will not do.
    """

    codec: Codec
    order: int = 1
    error_feedback: bool = True
    decay: float = 0.5
    warmup_steps: int = 1
    execution: Execution = _EAGER
    tensor: str = field(default="the tensor to send", compare=False)

    def __post_init__(self) -> None:
        if self.order not in (0, 1, 2):
            raise InputError(f"order of the residual is {self.order}, expected 0, 1 or 2")
        if self.order != 1 and self.error_feedback != (self.order == 2):
            need = "needs" if self.order == 2 else "has no residual, and so no"
            raise InputError(
                f"order {self.order} {need} error feedback: set it to {self.order == 2}"
            )
        if not 0 <= self.decay <= 1:
            raise InputError(f"decay is {self.decay}, expected 0 to 1")
        least = self.recursion.warmup_steps
        if self.warmup_steps < least:
            raise InputError(
                f"warm-up steps are {self.warmup_steps}, expected {least} or more: order "
                f"{self.order} starts from {least} sent whole"
            )

    @cached_property
    def recursion(self) -> Recursion:
        """How the states go on."""
        if self.order == 2:
            return Trend(self.decay)
        if self.order == 0:
            return Direct()
        return ClosedLoop() if self.error_feedback else OpenLoop()

    @property
    def kind(self) -> Residual:
        """Coders of one kind cost the same (see `simnet.drivers.simulated.MetaMachine`)."""
        return self

    def at(self, step: int) -> Coder:
        """What to use in a step."""
        return Warmup(self.recursion, self.tensor) if step < self.warmup_steps else self

    def named(self, tensor: str) -> Residual:
        """The same, for a tensor of this name."""
        return replace(self, tensor=tensor)

    def encode(self, state: State, x: Tensor) -> tuple[Tensor, State]:
        """See Coder."""
        check_matrix(x, self.tensor)
        self._check_state(state)
        payload, state = self.execution.encode(self._method, state, x)
        if x.is_cpu:
            check_scales(self.codec.scales(payload, x.shape, x.dtype), x, self.tensor)
        return payload, state

    def decode(self, state: State, payload: Tensor, like: Tensor) -> tuple[Tensor, State]:
        """See Coder."""
        self._check_state(state)
        check_length(payload, self.nbytes(like.shape, like.dtype), self.tensor)
        return self.execution.decode(self._method, state, payload, like)

    def nbytes(self, shape: Shape, dtype: torch.dtype) -> int:
        """See Coder."""
        return self.codec.nbytes(shape, dtype)

    def state_bytes(self, shape: Shape, dtype: torch.dtype, steps: int) -> int:
        """See Coder."""
        return _state_bytes(self.recursion, shape, dtype, steps)

    def wire_bytes(self, shape: Shape, dtype: torch.dtype, steps: int) -> int:
        """All payloads of one tensor in so many steps."""
        return sum(self.at(step).nbytes(shape, dtype) for step in range(steps))

    @cached_property
    def _method(self) -> Method:
        return Method(self.codec, self.recursion)

    def _check_state(self, state: State) -> None:
        if len(state) != self.recursion.kept:
            raise ScheduleError(
                f"{self.tensor}: {len(state)} matrices are known of earlier steps, expected "
                f"{self.recursion.kept}: start with {self.warmup_steps} warm-up steps, and hand "
                "each step the state that the one before gave"
            )


def fused(residual: Residual) -> Residual:
    """The same with its arithmetic in a few kernels, as for GPUs; as it is where it cannot be."""
    if not isinstance(residual.codec, Fusible):
        return residual
    return replace(residual, execution=Fused())


@dataclass(frozen=True)
class Warmup:
    """Sends the activation itself, from which both ends start."""

    recursion: Recursion
    tensor: str = field(compare=False)

    @property
    def kind(self) -> Warmup:
        """Coders of one kind cost the same."""
        return self

    def encode_raw(self, state: State, x: Tensor) -> tuple[Tensor, State]:
        """See Coder; named apart, for its cost is another."""
        check_matrix(x, self.tensor)
        if x.is_cpu:
            check_finite(x, self.tensor)
        return _RAW.encode(x), self.recursion.warm(state, x)

    def decode_raw(self, state: State, payload: Tensor, like: Tensor) -> tuple[Tensor, State]:
        """See Coder."""
        check_length(payload, self.nbytes(like.shape, like.dtype), self.tensor)
        x = _RAW.decode(payload, like.shape, like.dtype)
        return x, self.recursion.warm(state, x)

    encode, decode = encode_raw, decode_raw

    def nbytes(self, shape: Shape, dtype: torch.dtype) -> int:
        """See Coder."""
        return _RAW.nbytes(shape, dtype)

    def state_bytes(self, shape: Shape, dtype: torch.dtype, steps: int) -> int:
        """See Coder."""
        return _state_bytes(self.recursion, shape, dtype, steps)


def _state_bytes(recursion: Recursion, shape: Shape, dtype: torch.dtype, steps: int) -> int:
    """A step adds one matrix, until there are as many as the recursion goes on from."""
    return min(steps, recursion.kept) * _RAW.nbytes(shape, dtype)


def check_length(payload: Tensor, expected: int, name: str) -> None:
    """Raise ScheduleError for a payload of a tensor of this name that is too long or too short."""
    if payload.numel() != expected:
        raise ScheduleError(
            f"{name}: a payload of {payload.numel()} bytes came, expected {expected}: sender and "
            "receiver do not use the same codec in the same step"
        )
