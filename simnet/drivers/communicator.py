"""Transfers as torch.distributed carries them, over gloo or NCCL."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import torch
import torch.distributed as dist

from simnet.drivers.agreement import Said
from simnet.drivers.log import where
from simnet.network.network import Line, lines
from simnet.ops import (
    AllGather,
    AllReduce,
    AllToAll,
    Barrier,
    Broadcast,
    Gather,
    Group,
    Recv,
    Reduce,
    ReduceScatter,
    Scatter,
    Send,
    Shift,
    Transfer,
)
from traces.errors import ScheduleError
from traces.operation import Operation


@dataclass(eq=False)
class Ticket:
    """A live transfer. Holds on to its buffers: the backend reads and writes them meanwhile."""

    op: Transfer
    row: Operation
    value: Any = None
    works: list[tuple[Line, dist.Work]] = field(default_factory=list)
    pending: int = 0
    error: Exception | None = None
    done: threading.Event = field(default_factory=threading.Event)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def seq(self) -> int:
        """Its row in the rank's trace."""
        return self.row.seq


class Communicators:
    """The process groups of one rank.

    All ranks make all groups, in the same order, before a run: made when first used, they would
    wait for each other in whatever order a schedule comes to them.
    """

    def __init__(self, groups: Iterable[Group]) -> None:
        self.rank = dist.get_rank()
        self.world = Group(tuple(range(dist.get_world_size())))
        self.process_groups: dict[Group, dist.ProcessGroup | None] = {self.world: None}
        for group in sorted(set(groups) - {self.world}):
            self.process_groups[group] = dist.new_group(list(group.ranks))
        self.said: list[Said] = []
        self.posts: dict[type[Transfer], Callable[[Any, Group], tuple[Any, list[dist.Work]]]] = {
            Send: self._send,
            Recv: self._recv,
            Shift: self._shift,
            AllGather: self._all_gather,
            AllReduce: self._all_reduce,
            AllToAll: self._all_to_all,
            ReduceScatter: self._reduce_scatter,
            Broadcast: self._broadcast,
            Reduce: self._reduce,
            Gather: self._gather,
            Scatter: self._scatter,
            Barrier: self._barrier,
        }

    def post(self, op: Transfer, row: Operation) -> Ticket:
        """Start a transfer, of which check_peers has had nothing to say."""
        group = op.group or self.world
        stands_in = lines(row, group.ranks)
        if not stands_in:  # a shift to itself
            return Ticket(op, row, op.value)
        if group not in self.process_groups:
            raise ScheduleError(
                f"rank {self.rank}: {op.kind} {op.name!r} is for {group}, which the dry run did "
                "not come by; on real tensors a schedule must do what it does on meta tensors"
            )
        if not isinstance(op, Barrier):
            op.value = op.value.contiguous()
        if isinstance(op, AllToAll) and op.sends is not None and op.takes is not None:
            what = f"{op.kind} {op.name!r} ({where(row.step, row.layer)})"
            self.said.append(Said(group, what, op.sends, op.takes))
        value, works = self.posts[type(op)](op, group)
        return Ticket(op, row, value, list(zip(stands_in, works, strict=True)))

    def close(self) -> None:
        """Take the groups apart, where more runs are to come."""
        for process_group in self.process_groups.values():
            if process_group is not None:
                dist.destroy_process_group(process_group)

    def told(self) -> list[list[Said]]:
        """What each rank said of its all-to-alls of parts that differ; all ranks must ask."""
        said: list[list[Said]] = [[] for _ in self.world.ranks]
        dist.all_gather_object(said, self.said)
        return said

    def _send(self, op: Send, group: Group) -> tuple[Any, list[dist.Work]]:
        return None, [_some(dist.isend(op.value, op.to, self.process_groups[group]))]

    def _recv(self, op: Recv, group: Group) -> tuple[Any, list[dist.Work]]:
        value = torch.empty_like(op.value)
        return value, [_some(dist.irecv(value, op.source, self.process_groups[group]))]

    def _shift(self, op: Shift, group: Group) -> tuple[Any, list[dist.Work]]:
        # The receive first: a sender waits for its receiver to be ready, and with two ranks that
        # message would queue behind the bulk data of the other direction.
        process_group = self.process_groups[group]
        to, source = op.peers(self.rank, group)
        value = torch.empty_like(op.value)
        receive = dist.P2POp(dist.irecv, value, source, process_group)
        send = dist.P2POp(dist.isend, op.value, to, process_group)
        works = dist.batch_isend_irecv([receive, send])
        # gloo gives a work for each, NCCL one for both. Lines: to the next, from the last.
        return value, [works[-1], works[0]]

    def _all_gather(self, op: AllGather, group: Group) -> tuple[Any, list[dist.Work]]:
        values = [torch.empty_like(op.value) for _ in group.ranks]
        process_group = self.process_groups[group]
        return values, [_some(dist.all_gather(values, op.value, process_group, async_op=True))]

    def _all_reduce(self, op: AllReduce, group: Group) -> tuple[Any, list[dist.Work]]:
        value = op.value.clone()
        process_group = self.process_groups[group]
        return value, [_some(dist.all_reduce(value, group=process_group, async_op=True))]

    def _all_to_all(self, op: AllToAll, group: Group) -> tuple[Any, list[dist.Work]]:
        process_group = self.process_groups[group]
        if op.takes is None:
            value = torch.empty_like(op.value)
            work = dist.all_to_all_single(value, op.value, group=process_group, async_op=True)
            return list(value.chunk(len(group.ranks))), [_some(work)]
        value = op.value.new_empty((sum(op.takes), *op.value.shape[1:]))
        work = dist.all_to_all_single(
            value, op.value, list(op.takes), list(op.sends or ()), process_group, async_op=True
        )
        return list(value.split(op.takes)), [_some(work)]

    def _reduce_scatter(self, op: ReduceScatter, group: Group) -> tuple[Any, list[dist.Work]]:
        with torch.inference_mode(mode=False):  # gloo writes to it from a thread of its own
            value = self._part(op.value, group)
        parts = list(op.value.chunk(len(group.ranks)))
        process_group = self.process_groups[group]
        return value, [_some(dist.reduce_scatter(value, parts, group=process_group, async_op=True))]

    def _broadcast(self, op: Broadcast, group: Group) -> tuple[Any, list[dist.Work]]:
        value = op.value if op.root == self.rank else torch.empty_like(op.value)
        process_group = self.process_groups[group]
        return value, [_some(dist.broadcast(value, op.root, process_group, async_op=True))]

    def _reduce(self, op: Reduce, group: Group) -> tuple[Any, list[dist.Work]]:
        value = op.value.clone()  # others' buffers are written to as well
        work = dist.reduce(value, op.root, group=self.process_groups[group], async_op=True)
        return value if op.root == self.rank else None, [_some(work)]

    def _gather(self, op: Gather, group: Group) -> tuple[Any, list[dist.Work]]:
        is_root = op.root == self.rank
        values = [torch.empty_like(op.value) for _ in group.ranks] if is_root else None
        process_group = self.process_groups[group]
        work = dist.gather(op.value, values, op.root, process_group, async_op=True)
        return values, [_some(work)]

    def _scatter(self, op: Scatter, group: Group) -> tuple[Any, list[dist.Work]]:
        parts = list(op.value.chunk(len(group.ranks))) if op.root == self.rank else None
        value, process_group = self._part(op.value, group), self.process_groups[group]
        return value, [_some(dist.scatter(value, parts, op.root, process_group, async_op=True))]

    def _barrier(self, op: Barrier, group: Group) -> tuple[Any, list[dist.Work]]:
        del op
        return None, [_some(dist.barrier(self.process_groups[group], async_op=True))]

    def _part(self, value: torch.Tensor, group: Group) -> torch.Tensor:
        """Room for one of equal parts along dim 0, for each of the group."""
        return value.new_empty((value.shape[0] // len(group.ranks), *value.shape[1:]))


def _some(work: dist.Work | None) -> dist.Work:
    if work is None:  # torch returns none for ranks outside the group, which lines() refused
        raise RuntimeError("torch.distributed started nothing: this rank is not in the group")
    return work
