"""What a recorded call of torch.distributed asked for, from the arguments beside it."""

from __future__ import annotations

import json
import math
import reprlib
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from traces.columns import ROOTS
from traces.errors import TraceError
from traces.imports.groups import Group, candidates
from traces.imports.payload import (
    Payload,
    is_dims,
    payload,
    stacked,
    type_name,
    with_splits,
)
from traces.imports.places import tag
from traces.imports.rows import Moved
from traces.kineto.events import Event


class Signature(NamedTuple):
    """Which argument of an operator is what; -1 where there is none."""

    kind: str
    given: int  # the tensors that this rank contributes
    asynchronous: int = -1
    peer: int = -1  # in the group's own numbering
    splits: int = -1


#: Operators of torch.ops.c10d, whose arguments are the same on all backends.
OPERATORS: dict[str, Signature] = {
    "c10d::_allgather_base_": Signature("all_gather", 1, 3),
    "c10d::allgather_": Signature("all_gather", 1, 3),
    "c10d::allgather_into_tensor_coalesced_": Signature("all_gather", 1, 3),
    "c10d::allgather_coalesced_": Signature("all_gather", 1, 3),
    "c10d::allreduce_": Signature("all_reduce", 0, 4),
    "c10d::allreduce_coalesced_": Signature("all_reduce", 0, 3),
    "c10d::_reduce_scatter_base_": Signature("reduce_scatter", 1, 4),
    "c10d::reduce_scatter_": Signature("reduce_scatter", 1, 4),
    "c10d::reduce_scatter_tensor_coalesced_": Signature("reduce_scatter", 1, 4),
    "c10d::alltoall_base_": Signature("all_to_all", 1, 5, splits=4),
    "c10d::alltoall_": Signature("all_to_all", 1, 3),
    "c10d::broadcast_": Signature("broadcast", 0, 4, peer=2),
    "c10d::reduce_": Signature("reduce", 0, 5, peer=3),
    "c10d::gather_": Signature("gather", 1, 4, peer=3),
    "c10d::scatter_": Signature("scatter", 0, 4, peer=3),
    "c10d::barrier": Signature("barrier", -1, 3),
    "c10d::send": Signature("send", 0, peer=2),
    "c10d::recv_": Signature("recv", 0, peer=2),
}
#: "Collective name" of record_param_comms, which NCCL's process group records.
COLLECTIVES: dict[str, str] = {
    **dict.fromkeys(
        ("all_gather", "_allgather_base", "allgather_into_tensor_coalesced", "allgather"),
        "all_gather",
    ),
    **dict.fromkeys(("allreduce", "all_reduce", "allreduce_coalesced"), "all_reduce"),
    **dict.fromkeys(
        ("reduce_scatter", "_reduce_scatter_base", "reduce_scatter_tensor_coalesced"),
        "reduce_scatter",
    ),
    **dict.fromkeys(("all_to_all", "all_to_allv", "alltoall", "alltoall_base"), "all_to_all"),
    **dict.fromkeys(("broadcast", "_broadcast_oop"), "broadcast"),
    **dict.fromkeys(("reduce", "_reduce_oop"), "reduce"),
    **{name: name for name in ("gather", "scatter", "barrier", "send", "recv")},
}


class Asked(NamedTuple):
    """A call as far as it could be understood.

    `blocks`: whether the caller waits for it at once, None where the file does not say. `doubts`:
    what had to be guessed, a key of merge.DOUBTS each.
    """

    moved: Moved
    layer: int | None
    blocks: bool | None
    doubts: tuple[str, ...]


class Reader:
    """Understands the calls of one rank. `groups`: by torch's names of them."""

    def __init__(self, where: str, rank: int, groups: Mapping[str, Group], world: Group) -> None:
        self.where = where
        self.rank = rank
        self.groups = groups
        self.world = world
        self.usual = ""  # type, of the last transfer that said

    def asked(
        self, call: Event, comms: Event | None, work: Event | None, title: str = ""
    ) -> Asked | None:
        """`comms`: its record_param_comms; `work`: what carried it out. None if not understood.

        `title` is what record_comm named it, perhaps "step/layer/role". Raises TraceError for
        ranks that there are not.
        """
        doubts: list[str] = []
        meta = comms.args if comms else {}
        signature = OPERATORS.get(call.name)
        kind = COLLECTIVES.get(str(meta.get("Collective name"))) or (signature and signature.kind)
        if not kind:
            return None
        group = self._group(call, signature, meta, doubts)
        described = self._payload(call, meta, work, doubts)
        if kind == "scatter":
            described = stacked(described, len(group.members))
        elif kind == "all_to_all":
            described = with_splits(described, self._splits(call, signature, meta), group.members)
        if not described.dtype and kind != "barrier":
            doubts.append("sizes")
        peer = self._peer(call, signature, meta, kind, group)
        said = tag(title)
        name = said.role if said else title or kind
        moved = Moved(kind, name, group, described, peer)
        blocks = _blocks(call, signature, meta)
        return Asked(moved, said.layer if said else None, blocks, tuple(doubts))

    def _group(
        self,
        call: Event,
        signature: Signature | None,
        meta: Mapping[str, Any],
        doubts: list[str],
    ) -> Group:
        known = self.groups.get(str(meta.get("Process Group Name", "")))
        if known and self.rank in known.members:
            return known
        size = meta.get("Group size", _group_size(call, signature))
        fitting = candidates(self.groups.values(), self.rank, size) or [self.world]
        if len({group.ranks for group in fitting}) > 1:
            doubts.append("groups")
        return fitting[0]

    def _payload(
        self,
        call: Event,
        meta: Mapping[str, Any],
        work: Event | None,
        doubts: list[str],
    ) -> Payload:
        if signature := OPERATORS.get(call.name):
            if signature.given < 0:
                return Payload()
            dims = _item(call.args.get("Input Dims"), signature.given)
            dtype = type_name(_item(call.args.get("Input type"), signature.given))
            tensors = [[]] if dims == [[]] or (dims == [] and dtype) else tensors_in(dims)
            # Of a list of tensors the operator does not tell the type; what carries it out does.
            dtype = dtype or type_name(meta.get("dtype"))
            dtype = dtype or (type_name(_item(work.args.get("Input type"), 0)) if work else "")
            if not tensors and work:
                tensors = tensors_in(work.args.get("Input Dims"))
            if tensors and not dtype and self.usual:
                dtype = self.usual
                doubts.append("types")
            if (found := payload(tensors, dtype)).dtype:
                self.usual = found.dtype
                return found
        counted: list[Any] = [meta.get("In msg nelems")]
        return payload([counted] if is_dims(counted) else [], type_name(meta.get("dtype")))

    def _splits(
        self, call: Event, signature: Signature | None, meta: Mapping[str, Any]
    ) -> Sequence[int]:
        index = signature.splits if signature else -1
        texts = (_item(call.args.get("Concrete Inputs"), index), meta.get("In split size"))
        return next(filter(None, map(_numbers, texts)), ())

    def _peer(
        self,
        call: Event,
        signature: Signature | None,
        meta: Mapping[str, Any],
        kind: str,
        group: Group,
    ) -> int:
        told = meta.get({"send": "Dst Rank", "recv": "Src Rank"}.get(kind, ""))
        if type(told) is int and told in group.members:
            return told
        if kind not in (*ROOTS, "send", "recv"):
            return -1
        index = signature.peer if signature else -1
        text = str(_item(call.args.get("Concrete Inputs"), index))
        if not text.isascii() or not text.isdigit() or len(text) > 9:
            raise TraceError(
                f"{self.where}: {call.name} does not say which rank it is with; record again with "
                "record_shapes=True"
            )
        if int(text) >= len(group.members):
            raise TraceError(
                f"{self.where}: {call.name} is with rank {text} of a group of "
                f"{len(group.members)} ranks"
            )
        return group.members[int(text)]


def _item(values: object, index: int) -> Any:
    fits = isinstance(values, list) and 0 <= index < len(values)
    return values[index] if fits else None  # type: ignore[index]


def tensors_in(value: object) -> list[list[int]]:
    """The lengths of a tensor, or of each in a list of lists of tensors."""
    if is_dims(value) and value:
        return [value]  # type: ignore[list-item]
    return list(_leaves(value, 3))


def _leaves(value: object, depth: int) -> Iterator[list[int]]:
    if not isinstance(value, list) or depth == 0:
        return
    for item in value:
        if is_dims(item) and item:
            yield item
        else:
            yield from _leaves(item, depth - 1)


def _numbers(text: object) -> list[int]:
    """Those in "[2, 6]"."""
    try:
        found = json.loads(text) if isinstance(text, str) else text
    except (ValueError, RecursionError):
        return []
    good = isinstance(found, list) and all(type(n) is int and 0 <= n < 2**56 for n in found)
    return found if good else []  # type: ignore[return-value]


def _group_size(call: Event, signature: Signature | None) -> int | None:
    """By how much all of an all-gather is larger than a part of it, or a sum than a share of it."""
    if signature is None or signature.kind not in ("all_gather", "reduce_scatter"):
        return None
    dims = call.args.get("Input Dims")
    sizes = sorted(sum(map(math.prod, tensors_in(_item(dims, i)))) for i in (0, 1))
    return sizes[1] // sizes[0] if sizes[0] and sizes[1] % sizes[0] == 0 else None


def _blocks(call: Event, signature: Signature | None, meta: Mapping[str, Any]) -> bool | None:
    flag = meta.get("Is asynchronized op")
    if isinstance(flag, bool):
        return not flag
    index = signature.asynchronous if signature else -1
    return {"False": True, "True": False}.get(str(_item(call.args.get("Concrete Inputs"), index)))


def distributed_info(header: Mapping[str, Any], where: str) -> Mapping[str, Any]:
    """What the file says of ranks and process groups; {} where it says nothing."""
    info = header.get("distributedInfo", {})
    if not isinstance(info, dict) or not isinstance(info.get("pg_config", []), list):
        raise TraceError(f"{where}: distributedInfo is {reprlib.repr(info)}; expected an object")
    return info
