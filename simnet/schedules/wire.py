"""How activations go to other ranks: as they are, or coded against what was sent before."""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from simnet.codecs.named import spec
from simnet.codecs.recursion import State
from simnet.codecs.residual import Coder, Residual, check_length
from simnet.codecs.rule import Rule
from simnet.ops import Compute, Op

Steps = Generator[Op, Any, Any]

#: The tensors that attention takes from other ranks.
KV = ("k", "v")


class Stream(NamedTuple):
    """Activations that come again in every step, of which one follows from the last.

    Values are (M, B, H, T', E): M tensors, named by `tensors`, of heads H of width E, or of one
    head as wide as the model.
    """

    tensors: tuple[str, ...]
    layer: int
    part: int  # whose they are, who they are for, or which part of the sequence


class Wire(Protocol):
    """One rank's end of what all ranks send each other; programs run its generators."""

    def pack(self, stream: Stream, step: int, value: Any) -> Steps:
        """What to send in place of a value."""
        ...

    def unpack(self, stream: Stream, step: int, payload: Any, like: Any) -> Steps:
        """The value that a payload stands for, which has the shape and type of `like`.

        A stream's payloads must come in the order of their steps.
        """
        ...

    def like(self, stream: Stream, step: int, value: Any) -> Any:
        """Something of the shape and type of the payload of such a value."""
        ...


class Plain:
    """They go as they are."""

    def pack(self, stream: Stream, step: int, value: Any) -> Steps:
        """See Wire."""
        del stream, step
        return value
        yield

    def unpack(self, stream: Stream, step: int, payload: Any, like: Any) -> Steps:
        """See Wire."""
        del stream, step, like
        return payload
        yield

    def like(self, stream: Stream, step: int, value: Any) -> Any:
        """See Wire."""
        del stream, step
        return value


class Coded:
    """Each tensor is coded by the rule's coder for it, all of a value in one payload.

    A rank may be at both ends of a stream: what it sent and what it received are two states.
    """

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self.sent: dict[Stream, list[State]] = {}
        self.received: dict[Stream, list[State]] = {}
        self._latest: tuple[Any, tuple[Coder, ...]] = ((), ())

    def pack(self, stream: Stream, step: int, value: Any) -> Steps:
        """See Wire."""
        states = self.sent.get(stream) or [()] * len(stream.tensors)
        encode = Encode(self._coders(stream, step))
        payload, *self.sent[stream] = yield Compute(encode, value, *states)
        return payload

    def unpack(self, stream: Stream, step: int, payload: Any, like: Any) -> Steps:
        """See Wire."""
        states = self.received.get(stream) or [()] * len(stream.tensors)
        decode = Decode(self._coders(stream, step))
        value, *self.received[stream] = yield Compute(decode, payload, like, *states)
        return value

    def like(self, stream: Stream, step: int, value: Any) -> Any:
        """See Wire."""
        forms = zip(self._coders(stream, step), map(_form, value), strict=True)
        nbytes = sum(coder.nbytes(form.shape, form.dtype) for coder, form in forms)
        return torch.empty(nbytes, dtype=torch.uint8, device=value.device)

    def _coders(self, stream: Stream, step: int) -> tuple[Coder, ...]:
        """The same for all that send this in a layer, so they are looked up once for them all."""
        which = stream.tensors, stream.layer, step
        if self._latest[0] != which:
            coders = tuple(self.rule(tensor, stream.layer, step) for tensor in stream.tensors)
            self._latest = which, coders
        return self._latest[1]


def wire(rule: Rule | None, ranks: int) -> Wire:
    """One between so many ranks, that codes by this rule, if there is one; never for oneself."""
    return Plain() if rule is None or ranks == 1 else Coded(rule)


@dataclass(frozen=True)
class Encode:
    """From a value to its payload. Equal ones cost the same."""

    coders: tuple[Coder, ...]

    @property
    def __name__(self) -> str:
        """What traces and profiles call it."""
        return f"encode {_spec(self.coders)}"

    def __call__(self, value: Tensor, *states: State) -> tuple[Any, ...]:
        """The payload, bytes; and the sender's next states."""
        coded = [
            coder.encode(state, _matrix(tensor))
            for coder, tensor, state in zip(self.coders, value, states, strict=True)
        ]
        return torch.cat([payload for payload, _ in coded]), *(state for _, state in coded)


@dataclass(frozen=True)
class Decode:
    """From a payload to the value."""

    coders: tuple[Coder, ...]

    @property
    def __name__(self) -> str:
        """What traces and profiles call it."""
        return f"decode {_spec(self.coders)}"

    def __call__(self, payload: Tensor, like: Tensor, *states: State) -> tuple[Any, ...]:
        """A value like `like`, and the receiver's next states.

        Raises ScheduleError for a payload of another length.
        """
        forms = [_form(tensor) for tensor in like]
        sizes = [
            c.nbytes(form.shape, form.dtype) for c, form in zip(self.coders, forms, strict=True)
        ]
        check_length(payload, sum(sizes), " and ".join(coder.tensor for coder in self.coders))
        decoded = [
            coder.decode(state, part, form)
            for coder, part, form, state in zip(
                self.coders, payload.split(sizes), forms, states, strict=True
            )
        ]
        value = torch.stack([_heads(x, like) for x, _ in decoded])
        return value, *(state for _, state in decoded)


def _matrix(tensor: Tensor) -> Tensor:
    """Tokens by channels (B T', H E), of (B, H, T', E)."""
    return tensor.transpose(1, 2).reshape(tensor.shape[0] * tensor.shape[2], -1)


def _form(tensor: Tensor) -> Tensor:
    """Something of the shape and type of that, without values."""
    batch, heads, tokens, width = tensor.shape
    return tensor.new_empty(batch * tokens, heads * width)


def _heads(matrix: Tensor, like: Tensor) -> Tensor:
    """And back."""
    _, batch, heads, tokens, width = like.shape
    return matrix.view(batch, tokens, heads, width).transpose(1, 2)


def _spec(coders: Sequence[Coder]) -> str:
    """What they are, once if they are all the same."""
    specs = [spec(coder) if isinstance(coder, Residual) else "raw" for coder in coders]
    return "+".join(dict.fromkeys(specs))
