"""What torch's communication operators ask for: kind, tensors, communicator, peer and sizes.

Operators, not functions of `torch.distributed`, which change their names: an operator's arguments
are found by the names in its schema.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor
from torch.utils._pytree import tree_leaves

from traces.errors import InputError

#: Operator -> the kind of transfer, and the argument that holds what this rank contributes.
_KINDS: dict[str, tuple[str, str]] = {
    "all_gather_into_tensor": ("all_gather", "input"),
    "all_gather_into_tensor_out": ("all_gather", "input"),
    "all_gather_into_tensor_coalesced": ("all_gather", "inputs"),
    "all_reduce": ("all_reduce", "input"),
    "all_reduce_": ("all_reduce", "input"),
    "all_reduce_coalesced": ("all_reduce", "inputs"),
    "all_reduce_coalesced_": ("all_reduce", "inputs"),
    "all_to_all_single": ("all_to_all", "input"),
    "reduce_scatter_tensor": ("reduce_scatter", "input"),
    "reduce_scatter_tensor_out": ("reduce_scatter", "input"),
    "reduce_scatter_tensor_coalesced": ("reduce_scatter", "inputs"),
    "broadcast": ("broadcast", "input"),
    "_allgather_base_": ("all_gather", "input_tensor"),
    "allgather_": ("all_gather", "input_tensors"),
    "allgather_coalesced_": ("all_gather", "input_list"),
    "allgather_into_tensor_coalesced_": ("all_gather", "inputs"),
    "allreduce_": ("all_reduce", "tensors"),
    "allreduce_coalesced_": ("all_reduce", "tensors"),
    "alltoall_base_": ("all_to_all", "input"),
    "alltoall_": ("all_to_all", "input_tensors"),
    "_reduce_scatter_base_": ("reduce_scatter", "input_tensor"),
    "reduce_scatter_": ("reduce_scatter", "input_tensors"),
    "reduce_scatter_tensor_coalesced_": ("reduce_scatter", "inputs"),
    "reduce_": ("reduce", "tensors"),
    "gather_": ("gather", "input_tensors"),
    "send": ("send", "tensors"),
    "recv_": ("recv", "tensors"),
    "barrier": ("barrier", "tensor"),
}
#: Two operators of one name: in place (functional) and of c10d.
_BROADCAST = {"input": ("broadcast", "input"), "tensors": ("broadcast", "tensors")}
#: Arguments that hold a place in the group.
_PEERS = ("src", "dst", "root_rank")


class Asked(NamedTuple):
    """A transfer, as an operator's arguments say."""

    kind: str
    group: dist.ProcessGroup
    shape: tuple[int, ...]
    dtype: str
    nbytes: int
    peer: int  # place in the group; -1: none
    sends: tuple[int, ...] | None  # rows for each place, where they differ
    takes: tuple[int, ...] | None


def is_communication(func: Any) -> bool:
    """Whether an operator is one of torch's for communication."""
    return func.namespace in ("c10d", "_c10d_functional", "_c10d_functional_autograd")


def asked(func: Any, args: Sequence[Any], kwargs: dict[str, Any]) -> Asked:
    """What an operator with these arguments asks for.

    Raises InputError for an operator that is not known.
    """
    names = [argument.name for argument in func._schema.arguments]  # noqa: SLF001 - its only name
    given = dict(zip(names, args, strict=False)) | kwargs
    packet = func.overloadpacket.__name__
    if packet == "broadcast_":
        kind, which = _BROADCAST["input" if "input" in given else "tensors"]
    elif packet in _KINDS:
        kind, which = _KINDS[packet]
    else:
        raise InputError(
            f"the program asks for {func}, which is not understood; known are "
            f"{', '.join(sorted(_KINDS))} and broadcast_"
        )
    tensors = [leaf for leaf in tree_leaves(given[which]) if isinstance(leaf, Tensor)]
    peer = next((given[name] for name in _PEERS if name in given), -1)
    shape, dtype = ((), "uint8") if kind == "barrier" else together(tensors)
    nbytes = 0 if kind == "barrier" else sum(tensor.nbytes for tensor in tensors)
    sends, takes = _sizes(kind, given, tensors)
    if kind == "all_to_all" and sends is None and which == "input_tensors":
        shape = (len(tensors), *tensors[0].shape)
    return Asked(kind, _group(given), shape, dtype, nbytes, peer, sends, takes)


def together(tensors: Sequence[Tensor]) -> tuple[tuple[int, ...], str]:
    """Shape and type of one tensor that holds all of them: numbers, or bytes, in a row."""
    if len(tensors) == 1:
        return tuple(tensors[0].shape), _dtype(tensors[0])
    if len({tensor.dtype for tensor in tensors}) == 1:
        return (sum(tensor.numel() for tensor in tensors),), _dtype(tensors[0])
    return (sum(tensor.nbytes for tensor in tensors),), "uint8"


def _dtype(tensor: Tensor) -> str:
    return str(tensor.dtype).removeprefix("torch.")


def _group(given: dict[str, Any]) -> dist.ProcessGroup:
    """By its name, as an object, or as one in a box."""
    group = given.get("process_group", given.get("group_name"))
    if isinstance(group, str):
        resolve: Callable[[str], dist.ProcessGroup] = dist.distributed_c10d._resolve_process_group  # type: ignore[assignment]  # noqa: SLF001 - no other way
        return resolve(group)
    if isinstance(group, torch.ScriptObject):
        return dist.ProcessGroup.unbox(group)
    assert isinstance(group, dist.ProcessGroup)
    return group


def _sizes(
    kind: str, given: dict[str, Any], tensors: Sequence[Tensor]
) -> tuple[tuple[int, ...] | None, tuple[int, ...] | None]:
    """Rows that an all-to-all sends to and takes from each place; None where all are equal."""
    if kind != "all_to_all":
        return None, None
    if "input_tensors" in given:  # lists of tensors: their numbers, in a row
        outputs = list(tree_leaves(given["output_tensors"]))
        sends = tuple(math.prod(tensor.shape) for tensor in tensors)
        takes = tuple(math.prod(tensor.shape) for tensor in outputs)
    else:
        sends = tuple(map(int, given["input_split_sizes"]))
        takes = tuple(map(int, given["output_split_sizes"]))
    if len({*sends, *takes}) <= 1:
        return None, None
    return sends, takes
