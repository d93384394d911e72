"""How long a run takes, from a few of its steps: once steps repeat, all others are like them.

Exact, not fitted. A schedule's program for S steps is its program for fewer with steady steps
left out, and the simulator knows no time of day. So once three periods in a row are the same
operations at the same times, but for when they begin, the next one is too. Where that does not
come soon, the whole run is evaluated as a graph of operations, or simulated.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from simnet.drivers.engine import collector_paused, play
from simnet.drivers.observer import Observer
from simnet.drivers.simulated import MetaMachine
from simnet.lowering.evaluate import evaluate
from simnet.lowering.lower import lower
from simnet.lowering.price import price
from simnet.lowering.simulate import simulate_graph
from simnet.schedules.expert.base import ExpertSchedule
from simnet.schedules.expert.routing import Zipf
from simnet.schedules.named import INNER, innermost
from traces.summary import summarize

if TYPE_CHECKING:
    from analysis.plan.setting import Setting
    from simnet.job import Job
    from simnet.lowering.graph import Graph
    from simnet.schedules.base import TeamSchedule
    from traces.operation import Operation

#: Two times are the same if they differ by no more than this share of the run.
SAME = 1e-12

Times = NDArray[np.float64]


class Rhythm(NamedTuple):
    """Which steps of a program are like others."""

    head: int  # so many at the start are not
    period: int
    tail: int  # nor so many at the end


class Latency(NamedTuple):
    """What a run takes."""

    total_s: float
    computing_s: float  # of the rank that computes most, were nothing in its way
    steps: int  # that were looked at to find out


def rhythm(schedule: TeamSchedule) -> Rhythm | None:
    """Of a schedule of this library; None where steps need not repeat."""
    inner: Any = innermost(schedule)
    if type(inner) not in INNER.values():
        return None
    rule = getattr(inner, "codec", None)
    coded = [] if rule is None else [residual.warmup_steps for residual in rule.residuals()]
    head = max([getattr(inner, "warmup_steps", 0), 1, *coded])
    if not isinstance(inner, ExpertSchedule):
        return Rhythm(head, 1, 1)
    if getattr(inner, "stride", 0) or not isinstance(inner.routing, Zipf):
        return None
    # Slots are left out in turn with the steps that are left; released code has two such turns.
    return Rhythm(head + 2, 2 * inner.period, 2 + getattr(inner, "cooldown_steps", 0))


def latency(setting: Setting, schedule: TeamSchedule, job: Job) -> Latency:
    """Of this schedule on this job, as `simnet.drivers.simulated.simulate` has it.

    Raises what `simulate` raises.
    """
    schedule.check(job)
    found = settled(setting, schedule, job)
    if found is not None:
        return found
    return whole(setting, lower(schedule, job))


def settled(setting: Setting, schedule: TeamSchedule, job: Job, begin: int = 0) -> Latency | None:
    """By a few steps, `begin` of them at least; None where they do not repeat soon."""
    beat = rhythm(schedule)
    if beat is None:
        return None
    outside_s, machine = setting.outside_s, MetaMachine(setting.cost, job.dtype)
    for steps in _tries(beat, job.steps, begin):
        operations, cost_s = _played(setting, schedule, job.variant(steps=steps), machine)
        end, times = steps - beat.tail, (job.steps - steps) // beat.period
        every_s = _period_s(operations, end, beat.period)
        if every_s is not None:
            each_s = _computing(operations, cost_s, job.ranks)
            each_s[:, end - beat.period : end] *= 1 + times
            computing_s = float(each_s.sum(axis=1).max())
            total_s = end_s(operations) + times * every_s
            return Latency(outside_s + total_s, outside_s + computing_s, steps)
    return None


def whole(setting: Setting, graph: Graph) -> Latency:
    """By all operations: evaluated where that is exact, simulated where the evaluator refuses."""
    cost_s = price(graph, setting.cost)
    share, outside_s = setting.cost.transfer_share, setting.outside_s
    found = evaluate(graph, cost_s, [setting.network], transfer_share=share, outside_s=outside_s)
    total_s = float(found.total_s[0])
    if found.refused[0]:
        total_s = simulated_s(setting, graph)
    computing_s = outside_s + float((graph.computes @ cost_s).max())
    return Latency(total_s, computing_s, graph.origin.steps)


def simulated_s(setting: Setting, graph: Graph) -> float:
    """How long a whole run takes, by the discrete-event simulator."""
    trace = simulate_graph(
        graph,
        price(graph, setting.cost).tolist(),
        setting.network,
        transfer_share=setting.cost.transfer_share,
        outside_s=setting.outside_s,
    )
    return summarize(trace).total_s


def _tries(beat: Rhythm, steps: int, begin: int) -> Iterator[int]:
    """So few steps that they may tell, then twice as many; as many as leave whole periods out.

    Up to half of them: beyond, to take all costs less than to fail.
    """
    tried = max(begin, beat.head + 3 * beat.period + beat.tail)
    while 2 * tried <= steps:
        tried += (steps - tried) % beat.period
        yield tried
        tried *= 2


def _played(
    setting: Setting, schedule: TeamSchedule, job: Job, machine: MetaMachine
) -> tuple[list[Operation], dict[tuple[str, str], float]]:
    """The operations; and what each compute costs by itself, by its name and shape."""
    programs = [schedule(job, rank) for rank in range(job.ranks)]
    with collector_paused():
        operations, _ = play(programs, job.steps, machine, setting.network, Observer())
    cost_s: dict[tuple[str, str], float] = {}
    for work in machine.known.values():  # of two that look alike, the one that costs less
        what = work.name, work.shape
        cost_s[what] = min(work.cost_s, cost_s.get(what, math.inf))
    return operations, cost_s


def _computing(
    operations: Sequence[Operation], cost_s: dict[tuple[str, str], float], ranks: int
) -> Times:
    """What each rank computes in each step, (R, S); what transfers keep it from is not in it."""
    steps = 1 + max(op.step for op in operations)
    each_s = np.zeros((ranks, steps))
    for op in operations:
        if op.kind == "compute":
            each_s[op.rank, op.step] += cost_s[op.name, op.shape]
    return each_s


def end_s(operations: Sequence[Operation]) -> float:
    """When the last rank has computed, or waited for, all it does; transfers do not count."""
    return max(float(op.end_s) for op in operations if op.stream == "compute")


def _period_s(operations: Sequence[Operation], end: int, period: int) -> float | None:
    """How long each of the last three periods before step `end` takes, if they are the same."""
    parts = [_of_steps(operations, end - (n + 1) * period, end - n * period) for n in range(3)]
    (last, what), *before = parts
    every_s = None
    for times, same in before:
        if same != what:
            return None
        later = last - times
        tolerance_s = SAME * float(np.abs(last).max())
        if float(np.ptp(later)) > tolerance_s:
            return None
        shift_s = float(later.mean())
        if every_s is not None and abs(shift_s - every_s) > tolerance_s:
            return None
        every_s, last = shift_s, times
    return every_s


def _of_steps(operations: Sequence[Operation], first: int, end: int) -> tuple[Times, Any]:
    """When operations of these steps began and ended, and what they were."""
    here = [op for op in operations if first <= op.step < end]
    times = np.array([(op.start_s, op.end_s) for op in here], dtype=np.float64)
    return times, [(op.rank, op.step - first, op.kind, op.name, op.wire_bytes) for op in here]


@dataclass
class Clock:
    """Latencies of schedules in a setting; counts the steps that it looked at."""

    setting: Setting
    steps: int = 0

    def latency(self, schedule: TeamSchedule) -> Latency:
        """Of a schedule as it was named, run as the setting's device does."""
        job = self.setting.job_of(schedule)
        found = latency(self.setting, self.setting.as_run(schedule), job)
        self.steps += found.steps
        return found
