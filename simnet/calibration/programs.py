"""What a rank does in each kind of measurement, written so that gloo and NCCL can both carry it.

A program gets ready, yields, and then does what is timed; where it yields again, time counts from
there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

import torch
import torch.distributed as dist

from simnet.calibration.case import Case
from simnet.drivers.hardware import synchronize

Program = Iterator[None]
_DATA, _TOKEN = 0, 1  # tags


class Buffers:
    """Tensors that are made and touched once, so that no measurement meets a new page."""

    def __init__(self, device: str) -> None:
        self.device = device
        self._made: dict[tuple[str, int], torch.Tensor] = {}

    def get(self, name: str, nbytes: int) -> torch.Tensor:
        """Bytes."""
        key = (name, nbytes)
        if key not in self._made:
            self._made[key] = torch.zeros(nbytes, dtype=torch.uint8, device=self.device)
        return self._made[key]

    def floats(self, name: str, nbytes: int) -> torch.Tensor:
        """The same as float32."""
        return self.get(name, nbytes).view(torch.float32)


def ping(case: Case, buffers: Buffers) -> Program:
    """A message there, one byte back: a token bucket on the way there gains no time to refill."""
    yield from stream(case, buffers)


def stream(case: Case, buffers: Buffers) -> Program:
    """Messages one behind the other, and one byte back."""
    first, second = case.ranks
    data, answer = buffers.get("data", case.nbytes), buffers.get("answer", 1)
    if dist.get_rank() == first:
        yield
        _finish(
            _batch([(dist.irecv, answer, second), *[(dist.isend, data, second)] * case.messages])
        )
    elif dist.get_rank() == second:
        arriving = _batch([(dist.irecv, data, first)] * case.messages)
        yield
        _finish(arriving)
        _finish(_batch([(dist.isend, answer, first)]))


def one_way(case: Case, buffers: Buffers) -> Program:
    """A message, and no answer: the receiver's end counts."""
    first, second = case.ranks
    data = buffers.get("data", case.nbytes)
    if dist.get_rank() == first:
        yield
        _finish(_batch([(dist.isend, data, second)]))
    else:
        arriving = _batch([(dist.irecv, data, first)])
        yield
        _finish(arriving)


def both(case: Case, buffers: Buffers) -> Program:
    """A message each way at the same time."""
    data, arriving = buffers.get("data", case.nbytes), buffers.get("arriving", case.nbytes)
    if dist.get_rank() in case.ranks:
        (peer,) = set(case.ranks) - {dist.get_rank()}
        yield
        _finish(_batch([(dist.irecv, arriving, peer), (dist.isend, data, peer)]))


def late(case: Case, buffers: Buffers) -> Program:
    """A message whose sender has long been waiting when its receiver gets ready for it."""
    receiver, sender = case.ranks
    data, token = buffers.get("data", case.nbytes), buffers.get("answer", 1)
    if dist.get_rank() == sender:
        yield
        works = [dist.isend(data, receiver, tag=_DATA), dist.isend(token, receiver, tag=_TOKEN)]
        _finish(works)
    elif dist.get_rank() == receiver:
        told = dist.irecv(token, sender, tag=_TOKEN)
        yield
        _finish([told])  # what the sender announced before this has come, too
        yield
        _finish([dist.irecv(data, sender, tag=_DATA)])


def _collective(start: Callable[[Case, Buffers, int], Any]) -> Callable[[Case, Buffers], Program]:
    def program(case: Case, buffers: Buffers) -> Program:
        world = dist.get_world_size()
        start_now = start(case, buffers, world)
        yield
        _finish([start_now()])

    return program


def _all_gather(case: Case, buffers: Buffers, world: int) -> Callable[[], Any]:
    mine = buffers.floats("data", case.nbytes)
    gathered = [buffers.floats(f"part {rank}", case.nbytes) for rank in range(world)]
    return lambda: dist.all_gather(gathered, mine, async_op=True)


def _all_reduce(case: Case, buffers: Buffers, world: int) -> Callable[[], Any]:
    del world
    value = buffers.floats("data", case.nbytes)
    return lambda: dist.all_reduce(value, async_op=True)


def _all_to_all(case: Case, buffers: Buffers, world: int) -> Callable[[], Any]:
    del world
    value = buffers.floats("data", case.nbytes)
    arriving = buffers.floats("arriving", case.nbytes)
    return lambda: dist.all_to_all_single(arriving, value, async_op=True)


def _broadcast(case: Case, buffers: Buffers, world: int) -> Callable[[], Any]:
    del world
    value = buffers.floats("data", case.nbytes)
    return lambda: dist.broadcast(value, src=0, async_op=True)


def _reduce_scatter(case: Case, buffers: Buffers, world: int) -> Callable[[], Any]:
    value = buffers.floats("data", case.nbytes)
    part = buffers.floats("scattered", case.nbytes // world)
    return lambda: dist.reduce_scatter_tensor(part, value, async_op=True)


PROGRAMS: dict[str, Callable[[Case, Buffers], Program]] = {
    "ping": ping,
    "stream": stream,
    "one_way": one_way,
    "both": both,
    "late": late,
    "all_gather": _collective(_all_gather),
    "all_reduce": _collective(_all_reduce),
    "all_to_all": _collective(_all_to_all),
    "broadcast": _collective(_broadcast),
    "reduce_scatter": _collective(_reduce_scatter),
}


def _batch(operations: Sequence[tuple[Any, torch.Tensor, int]]) -> list[dist.Work]:
    """Start point-to-point transfers, as (function, tensor, peer), in this order."""
    return dist.batch_isend_irecv([dist.P2POp(*operation) for operation in operations])


def _finish(works: Sequence[dist.Work | None]) -> None:
    for work in works:
        if work is not None:
            work.wait()
    synchronize()
