"""What a call of torch.distributed moves: each kind of call, read as the transfers it asks for."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

import torch
import torch.distributed as dist
from torch.distributed import distributed_c10d

from traces.columns import ROOTS
from traces.operation import Operation
from traces.shape import ITEM_BYTES
from traces.wire import wire_bytes


@dataclass(frozen=True)
class Communicator:
    """A process group as a trace names it."""

    name: str
    ranks: tuple[int, ...]  # of the run, in the group's own order

    @property
    def text(self) -> str:
        """For the column `group`."""
        return ",".join(map(str, sorted(self.ranks)))


@dataclass(frozen=True)
class Asked:
    """A transfer: its tensors together are what this rank contributes."""

    kind: str
    tensors: Sequence[torch.Tensor]
    peer: int = -1  # the rank sent to or received from, or the root
    splits: Sequence[int] = ()  # all_to_all: rows for each place of the group
    members: int = 1  # scatter: how often the tensor is in what the root scatters


def communicator(group: Any) -> Communicator:
    """Of a process group, or of its name."""
    if isinstance(group, str):
        named: Any = group  # newer versions of torch have a type for names
        group = distributed_c10d._resolve_process_group(named)  # noqa: SLF001 - no public one
    found = _KNOWN.get(group)
    if found is None:
        ranks = tuple(dist.get_process_group_ranks(group))
        name = "world" if group is dist.group.WORLD else f"group {group.group_name}"
        found = _KNOWN[group] = Communicator(name, ranks)
    return found


#: Groups that were met; those that the program has done with must not be kept from going.
_KNOWN: WeakKeyDictionary[Any, Communicator] = WeakKeyDictionary()


def operation(asked: Asked, group: Communicator, rank: int) -> Operation:
    """The row of a transfer, as far as it is known when it is asked for."""
    nbytes = sum(t.nbytes for t in asked.tensors) * asked.members
    row = Operation(rank, 0, group.name, asked.kind, "", 0, 0, math.nan, group=group.text)
    row.shape = _shape(asked)
    row.bytes = 0 if asked.kind in {"recv", "barrier"} else nbytes
    if asked.peer >= 0:
        setattr(row, _PEER[asked.kind], asked.peer)
    parts = _parts(asked, group) if asked.splits else ()
    row.parts = ",".join(map(str, parts))
    root = asked.peer if asked.kind in ROOTS else -1
    row.wire_bytes = wire_bytes(
        asked.kind, row.bytes, sorted(group.ranks), rank, root=root, parts=parts
    )
    return row


_PEER = {**ROOTS, "send": "dst", "recv": "src"}


def _shape(asked: Asked) -> str:
    """A tensor's own; several, laid end to end."""
    if not asked.tensors:
        return ""
    first = asked.tensors[0]
    lengths: Sequence[int] = first.shape
    if len(asked.tensors) > 1 or asked.members > 1:
        lengths = [sum(t.numel() for t in asked.tensors) * asked.members]
    dtype = str(first.dtype).removeprefix("torch.")
    if dtype not in ITEM_BYTES or len({t.dtype for t in asked.tensors}) > 1:
        lengths, dtype = [sum(t.nbytes for t in asked.tensors) * asked.members], "uint8"
    return f"{'x'.join(map(str, lengths)) or 'scalar'}:{dtype}"


def _parts(asked: Asked, group: Communicator) -> tuple[int, ...]:
    """Bytes for each rank of the group, in rising order of rank."""
    (tensor,) = asked.tensors
    row_bytes = tensor.nbytes // max(1, tensor.shape[0])
    each = dict(zip(group.ranks, asked.splits, strict=True))
    return tuple(each[rank] * row_bytes for rank in sorted(each))


Arguments = tuple[Any, ...]
#: Reads the arguments of a call on a group.
Reader = Callable[[Arguments, Communicator], Iterator[Asked]]


def _each(kind: str, place: int) -> Reader:
    """A transfer for each tensor of an argument."""

    def read(args: Arguments, group: Communicator) -> Iterator[Asked]:
        del group
        for tensor in _flat(args[place]):
            yield Asked(kind, [tensor])

    return read


def _together(kind: str, place: int) -> Reader:
    """One transfer of all tensors of an argument."""

    def read(args: Arguments, group: Communicator) -> Iterator[Asked]:
        del group
        yield Asked(kind, _flat(args[place]))

    return read


def _to_peer(kind: str) -> Reader:
    """The peer is named by its place in the group."""

    def read(args: Arguments, group: Communicator) -> Iterator[Asked]:
        yield Asked(kind, _flat(args[0]), peer=group.ranks[args[1]])

    return read


def _to_rank(kind: str) -> Reader:
    """The peer is named by its rank."""

    def read(args: Arguments, group: Communicator) -> Iterator[Asked]:
        del group
        yield Asked(kind, _flat(args[0]), peer=args[1])

    return read


def _rooted(kind: str, place: int) -> Reader:
    """The root is in the options, or a number after the tensors."""

    def read(args: Arguments, group: Communicator) -> Iterator[Asked]:
        given = [getattr(arg, "rootRank", arg) for arg in args[1:]]
        root = next((arg for arg in given if isinstance(arg, int)), 0)
        times = len(group.ranks) if kind == "scatter" else 1
        yield Asked(kind, _flat(args[place])[:1], peer=group.ranks[root], members=times)

    return read


def _all_to_all(sends: int, splits: int) -> Reader:
    def read(args: Arguments, group: Communicator) -> Iterator[Asked]:
        del group
        given = args[splits] if len(args) > splits else None
        yield Asked("all_to_all", [args[sends]], splits=tuple(given or ()))

    return read


def _all_to_all_list(args: Arguments, group: Communicator) -> Iterator[Asked]:
    """Its parts are tensors, here laid end to end: as a tensor of one row a number."""
    del group
    tensors = _flat(args[1])
    if len({t.numel() for t in tensors}) == 1:
        yield Asked("all_to_all", tensors)
        return
    whole = torch.empty(sum(t.numel() for t in tensors), dtype=tensors[0].dtype, device="meta")
    yield Asked("all_to_all", [whole], splits=[t.numel() for t in tensors])


def _barrier(args: Arguments, group: Communicator) -> Iterator[Asked]:
    del args, group
    yield Asked("barrier", [])


def _batch(args: Arguments, group: Communicator) -> Iterator[Asked]:
    """Lists of "isend" or "irecv", peers, tags and tensors."""
    del group
    for what, peer, tensor in zip(args[0], args[1], args[3], strict=True):
        yield Asked(what.removeprefix("i"), [tensor], peer=peer)


def _flat(tensors: Any) -> list[torch.Tensor]:
    if isinstance(tensors, torch.Tensor):
        return [tensors]
    return [tensor for inner in tensors for tensor in _flat(inner)]


_GATHER, _SCATTER = _each("all_gather", 1), _each("reduce_scatter", 1)
#: Methods of torch's ProcessGroup, of 2.6 and later; not all versions have all.
METHODS: dict[str, Reader] = {
    "send": _to_peer("send"),
    "recv": _to_peer("recv"),
    "broadcast": _rooted("broadcast", 0),
    "allreduce": _each("all_reduce", 0),
    "allreduce_coalesced": _each("all_reduce", 0),
    "reduce": _rooted("reduce", 0),
    **dict.fromkeys(("allgather", "allgather_coalesced"), _GATHER),
    **dict.fromkeys(("_allgather_base", "all_gather_single"), _GATHER),
    **dict.fromkeys(("allgather_into_tensor_coalesced", "all_gather_single_coalesced"), _GATHER),
    "gather": _rooted("gather", 1),
    "scatter": _rooted("scatter", 0),
    "reduce_scatter": _together("reduce_scatter", 1),
    **dict.fromkeys(("_reduce_scatter_base", "reduce_scatter_single"), _SCATTER),
    **dict.fromkeys(
        ("reduce_scatter_tensor_coalesced", "reduce_scatter_single_coalesced"), _SCATTER
    ),
    **dict.fromkeys(("alltoall_base", "all_to_all_single"), _all_to_all(1, 3)),
    "alltoall": _all_to_all_list,
    "barrier": _barrier,
}
#: Functional collectives (torch.ops._c10d_functional); the group comes last.
FUNCTIONS: dict[str, Reader] = {
    "broadcast": _rooted("broadcast", 0),
    "all_reduce": _each("all_reduce", 0),
    "all_reduce_coalesced": _each("all_reduce", 0),
    "all_gather_into_tensor": _each("all_gather", 0),
    "all_gather_into_tensor_coalesced": _each("all_gather", 0),
    "reduce_scatter_tensor": _each("reduce_scatter", 0),
    "reduce_scatter_tensor_coalesced": _each("reduce_scatter", 0),
    "all_to_all_single": _all_to_all(0, 2),
    "isend": _to_rank("send"),
    "irecv": _to_rank("recv"),
    "batch_p2p_ops": _batch,
}
