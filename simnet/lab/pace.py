"""Computes that take exactly as long as a cost model says, and leave the core free meanwhile."""

from __future__ import annotations

from os import sched_yield
from time import perf_counter, sleep
from typing import TYPE_CHECKING, Any

from simnet.costs import Call
from simnet.devices import Device

if TYPE_CHECKING:
    from simnet.costs import CostModel
    from simnet.ops import Compute

#: Whose times paced computes take, by its roofline: several times what a core needs, so that four
#: ranks on two cores are done in time. No such processor exists.
SLOW = Device(
    name="lab",
    flops=5e9,
    flops_fp32=5e9,
    memory_bytes_per_s=1e9,
    launch_s=300e-6,
    source="made up, for the lab: several times slower than a core of the host",
)

# A sleep ends late, by the kernel's timer slack and by its way back to the core.
_SPIN_S = 150e-6


class Paced:
    """Does the work, and then waits until the time that the cost model has for it is over.

    `overrun_s` is by how much work took longer than its time, of all computes together, and
    `late_s` by how much they ended late for that or any other reason.
    """

    def __init__(self, cost: CostModel, dtype: str) -> None:
        self.cost = cost
        self.dtype = dtype
        self.overrun_s = 0.0
        self.late_s = 0.0

    def __call__(self, op: Compute, shape: str) -> Any:
        """See simnet.drivers.distributed.Processor."""
        began_s = perf_counter()
        end_s = began_s + self.cost.seconds(Call(op.fn.__name__, shape, (), self.dtype))
        value = op.fn(*op.args)
        self.overrun_s += max(0.0, perf_counter() - end_s)
        wait_until(end_s)
        self.late_s += perf_counter() - end_s
        return value


def wait_until(end_s: float) -> None:
    """Of `perf_counter`: asleep until shortly before, then awake."""
    if (rest_s := end_s - perf_counter() - _SPIN_S) > 0:
        sleep(rest_s)
    while perf_counter() < end_s:
        sched_yield()
