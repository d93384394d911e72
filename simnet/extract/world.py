"""One process that takes itself for a rank of many: a process group that carries nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.distributed as dist

from simnet.ops import Group
from traces.errors import InputError


@contextmanager
def as_rank(rank: int, ranks: int) -> Iterator[None]:
    """Be this rank of so many.

    Programs that look for accelerators find as many as there are ranks. Raises InputError where
    this process is a rank of something already.
    """
    from torch.testing._internal.distributed.fake_pg import FakeStore

    if dist.is_initialized():
        raise InputError(
            "this process has a process group already; extract in one that has none, and leave "
            "init_process_group to thinwire"
        )
    dist.init_process_group("fake", store=FakeStore(), rank=rank, world_size=ranks)
    counted = torch.accelerator.device_count
    # diffusers' enable_parallelism divides by it.
    torch.accelerator.device_count = lambda: max(counted(), ranks)
    try:
        yield
    finally:
        torch.accelerator.device_count = counted
        dist.destroy_process_group()


@contextmanager
def waits_told(finished: Callable[[Any], None]) -> Iterator[None]:
    """Call `finished` with each work of a fake process group that the program waits for."""
    from torch._C import _distributed_c10d

    works: Any = _distributed_c10d.FakeWork
    wait = works.wait

    def told(work: Any, *args: Any, **kwargs: Any) -> Any:
        finished(work)
        return wait(work, *args, **kwargs)

    works.wait = told
    try:
        yield
    finally:
        works.wait = wait


def group_of(process_group: dist.ProcessGroup) -> Group:
    """The communicator that a process group is: named "world", or by its ranks.

    Of several with the same ranks, the later ones have a number as well, by which they agree among
    the ranks, for all make them in the same order.
    """
    made = _made()
    ranks = _ranks(process_group)
    twins = [each for each in made if _ranks(each) == ranks]
    number = twins.index(process_group) + 1
    everyone = ranks == tuple(range(dist.get_world_size()))
    name = "world" if everyone else f"ranks {','.join(map(str, ranks))}"
    return Group(ranks, name if number == 1 else f"{name} ({number})")


def groups() -> tuple[Group, ...]:
    """All that this rank is a member of, as they were made."""
    return tuple(map(group_of, _made()))


def _made() -> list[dist.ProcessGroup]:
    known = dist.distributed_c10d._world.pg_map  # noqa: SLF001 - the only list of them
    return [group for group in known if isinstance(group, dist.ProcessGroup)]


def _ranks(process_group: dist.ProcessGroup) -> tuple[int, ...]:
    return tuple(sorted(dist.get_process_group_ranks(process_group)))
