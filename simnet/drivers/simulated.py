"""All ranks on meta tensors: shapes from the code that runs, times from models."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from simnet.costs import Call
from simnet.counting import count
from simnet.drivers.engine import Work, collector_paused, play
from simnet.drivers.header import header
from simnet.drivers.host import NO_HOST, HostCosts
from simnet.drivers.observer import Observer
from simnet.ops import Lag, Program
from simnet.shapes import describe_shape
from traces.operation import table
from traces.trace import Trace

if TYPE_CHECKING:
    from simnet.costs import CostModel
    from simnet.job import Job
    from simnet.network.network import Network
    from simnet.ops import Compute
    from simnet.schedules.base import Schedule


def simulate(
    schedule: Schedule,
    job: Job,
    cost: CostModel,
    network: Network,
    observer: Observer | None = None,
    *,
    outside_s: float = 0.0,
    host: HostCosts = NO_HOST,
    cores: int | None = None,
) -> Trace:
    """Predict a run: every rank's operations, with the times they would take.

    `outside_s` is what every rank does before them by itself, such as encoding the text; it counts
    as time of the host. `host` is what each operation takes of a rank's host besides;
    `cores` is how many all ranks share for their computes, None where each has its own device.

    Raises InputError where the schedule cannot run the job, ScheduleError where its ranks do not
    fit together.
    """
    schedule.check(job)
    on_meta = replace(job, device="meta")
    programs = [_later(outside_s, schedule(on_meta, rank)) for rank in range(job.ranks)]
    machine = MetaMachine(cost, job.dtype)
    run = header(schedule, job, driver="simulated", device=cost.name, network=network.name)
    with collector_paused():
        operations, _ = play(
            *(programs, job.steps, machine, network, observer or Observer()),
            host=host,
            cores=cores,
        )
        return Trace(run, table(operations))


def _later(outside_s: float, program: Program) -> Program:
    if outside_s:
        yield Lag(outside_s)
    return (yield from program)


def kind_of(fn: Callable[..., Any]) -> str:
    """The kind of block that a function is a method of; "" for other functions."""
    kind: str = getattr(getattr(fn, "__self__", None), "kind_name", "")
    return kind


class MetaMachine:
    """Evaluates each callable once for each shape of its arguments, and remembers.

    Methods of objects that say they are of one `kind`, such as a model's blocks, count as one.
    """

    def __init__(self, cost: CostModel, dtype: str) -> None:
        self.cost = cost
        self.dtype = dtype
        self.known: dict[tuple[Any, str], Work] = {}

    def __call__(self, op: Compute) -> Work:
        """The result's shapes, and the predicted time."""
        owner = getattr(op.fn, "__self__", None)
        kind = getattr(owner, "kind", None)
        fn = op.fn if kind is None else (type(owner), op.fn.__name__, kind)
        key = fn, describe_shape(op.args)
        work = self.known.get(key)
        if work is None:
            work = self.known[key] = self._work(op, key[1])
        return work

    def _work(self, op: Compute, shape: str) -> Work:
        result, kernels = count(op.fn, op.args)
        call = Call(op.fn.__name__, shape, kernels, self.dtype, kind_of(op.fn))
        return Work(result, call.name, shape, self.cost.seconds(call), self.cost.transfer_share)
