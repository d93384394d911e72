"""How much arithmetic and memory traffic a call comes to, found by running it without data."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from torch.utils.flop_counter import flop_registry

aten = torch.ops.aten


class Kernel(NamedTuple):
    """One operation on the device: what it computes, and what it reads and writes."""

    name: str
    flop: int  # of matrix products; the rest is bound by memory and counts as none
    bytes: int


def count(fn: Callable[..., Any], args: Sequence[Any]) -> tuple[Any, tuple[Kernel, ...]]:
    """Call fn(*args) on meta tensors; gives its result and the kernels it would launch.

    Views launch none. Whatever fn raises goes through.
    """
    with Counter() as counter:
        result = fn(*args)
    return result, tuple(counter.kernels)


def _attention_flop(q: torch.Tensor, k: torch.Tensor, *_: Any, **__: Any) -> int:
    """Two matrix products, 4 B H T S E in all; torch itself counts only the kernels of GPUs."""
    return 4 * q.numel() * k.shape[-2]


_FLOP: dict[Any, Callable[..., Any]] = {
    **flop_registry,
    aten._scaled_dot_product_flash_attention_for_cpu: _attention_flop,  # noqa: SLF001 - its name
}
#: Give out memory or another name for it, and touch none.
_FREE = {
    aten._unsafe_view,  # noqa: SLF001 - its name
    aten.empty,
    aten.empty_like,
    aten.empty_strided,
    aten.new_empty,
}
#: Read no more of their inputs than they write.
_GATHERS = {aten.embedding, aten.gather, aten.index, aten.index_select}


class Counter(TorchDispatchMode):
    """Notes the kernels while it is active."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.kernels: list[Kernel] = []

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func.namespace == "prim":  # such as which device a tensor is on
            return func(*args, **kwargs)
        with self:  # in inference mode, composite operations arrive whole
            out = func.decompose(*args, **kwargs)
        if out is not NotImplemented:
            return out
        out = func(*args, **kwargs)
        packet = func.overloadpacket
        if not func.is_view and packet not in _FREE:
            flop = _FLOP[packet](*args, **kwargs, out_val=out) if packet in _FLOP else 0
            self.kernels.append(
                Kernel(packet.__name__, flop, _traffic(packet, (args, kwargs), out))
            )
        return out


def _traffic(packet: Any, inputs: Any, out: Any) -> int:
    """Bytes read and written."""
    written = sum(map(_bytes, tree_leaves(out)))
    read = [_bytes(leaf) for leaf in tree_leaves(inputs)]
    if packet in _GATHERS:
        read = [min(nbytes, written) for nbytes in read]
    return sum(read) + written


def _bytes(leaf: Any) -> int:
    """Of a tensor; one that repeats its elements (expanded) is read once."""
    if not isinstance(leaf, torch.Tensor):
        return 0
    return min(leaf.nbytes, leaf.untyped_storage().nbytes())
