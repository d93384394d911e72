"""A call that can be timed: the same function with random weights, on random tensors."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from simnet.job import Job
from simnet.models.dit import DiT
from simnet.models.shards import replaced
from simnet.ops import Compute
from simnet.profiling.calls import Wanted
from simnet.schedules.wire import Decode, Encode

Call = Callable[[], Any]
#: In a run, weights come from memory and not from a cache, for those of other layers come between.
#: So copies of them take turns: so many bytes, but not more copies than this.
CACHE_BYTES = 1 << 27
_MOST_COPIES = 64


class Samples:
    """Makes calls on a device that are like those on meta tensors.

    It keeps the weights of one kind of block at a time, the last that it was asked for.
    `cache_bytes` is more than a cache of the device holds.
    """

    def __init__(self, device: str, cache_bytes: int = CACHE_BYTES) -> None:
        self.device = device
        self.cache_bytes = cache_bytes
        self._of: Any = None
        self._owners: list[Any] = []

    def __call__(self, wanted: Wanted) -> list[Call]:
        """To be called in turn; each has weights of its own. Values are drawn by torch.

        There is one where there are no weights, or where they are larger than any cache.
        """
        args = _arguments(wanted.op, self.device)
        return [_bound(fn, args) for fn in self._functions(wanted)]

    def _functions(self, wanted: Wanted) -> list[Callable[..., Any]]:
        """The function, on owners with weights that are there."""
        fn: Any = wanted.op.fn
        owner = getattr(fn, "__self__", None)
        if isinstance(owner, Job):
            return [getattr(replace(owner, device=self.device), fn.__name__)]
        if not isinstance(owner, nn.Module):
            return [fn]
        of = wanted.kind or id(owner)
        if of != self._of:
            self._owners.clear()  # first, for there may not be room for both
            self._of, self._owners = of, copies(owner, self.device, self.cache_bytes)
        return [getattr(each, fn.__name__) for each in self._owners]


def copies(owner: nn.Module, device: str, cache_bytes: int) -> list[Any]:
    """As many of a module as it takes that none of their weights stay in a cache."""
    if isinstance(owner, DiT):  # its blocks are measured by themselves
        owner = replaced(owner, blocks=nn.ModuleList())
    nbytes = sum(weight.nbytes for weight in owner.parameters())
    number = min(_MOST_COPIES, -(-cache_bytes // nbytes)) if nbytes else 1
    return [drawn(owner, device) for _ in range(number)]


def _bound(fn: Callable[..., Any], args: tuple[Any, ...]) -> Call:
    return lambda: fn(*args)


def drawn(module: nn.Module, device: str) -> Any:
    """A copy of a module on "meta" that is on the device, with random weights.

    They keep activations near unit scale, as the models' own do.
    """
    real = copy.deepcopy(module).to_empty(device=device)
    for weight in real.parameters():
        width = (3 / weight.shape[-1]) ** 0.5 if weight.ndim > 1 else 0.0  # deviation n**-0.5
        weight.uniform_(-width, width)
    for buffer in real.buffers():
        buffer.uniform_()
    return real


def _arguments(op: Compute, device: str) -> tuple[Any, ...]:
    """Like the call's own; what is to be decoded comes from an encoder."""

    def real(leaf: Any) -> Any:
        return _random(leaf, device) if isinstance(leaf, Tensor) else leaf

    args: tuple[Any, ...] = tree_map(real, op.args)
    if isinstance(op.fn, Decode):
        _, like, *states = args
        payload, *_ = Encode(op.fn.coders)(like, *states)
        return payload, like, *states
    return args


def _random(tensor: Tensor, device: str) -> Tensor:
    """Of the same shape, type and strides; bytes and numbers of classes are 0 or 1."""
    length = tensor.untyped_storage().nbytes() // tensor.itemsize
    values = torch.empty(length, dtype=tensor.dtype, device=device)
    if tensor.is_floating_point():
        values.normal_()
    else:
        values.random_(0, 2)
    return values.as_strided(tensor.shape, tensor.stride(), tensor.storage_offset())
