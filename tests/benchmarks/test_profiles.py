"""What predictions from measured calls are worth on this machine, beside whole runs."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
import torch

from simnet.costs import MeasuredCosts
from simnet.drivers.engine import Work, play
from simnet.drivers.local import programs
from simnet.drivers.observer import Observer
from simnet.drivers.simulated import simulate
from simnet.job import Job
from simnet.network.presets import NETWORKS
from simnet.ops import Compute
from simnet.profiling.calls import calls
from simnet.profiling.timing import clock, measured
from simnet.schedules.base import TeamSchedule
from simnet.schedules.named import schedule

pytestmark = pytest.mark.bench
FREE = NETWORKS["infinite"]


@contextmanager
def one_thread() -> Iterator[None]:
    """Of the processor, whose own time is then what counts: others may be busy on it."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def computed_s(chosen: TeamSchedule, job: Job) -> float:
    """All ranks' compute in a real run, in turn in this process."""
    now_s, total_s = clock("cpu"), 0.0

    def timed(op: Compute) -> Work:
        nonlocal total_s
        start_s = now_s()
        value = op.fn(*op.args)
        total_s += now_s() - start_s
        return Work(value, op.fn.__name__, "", 0.0)

    with torch.inference_mode():
        play(programs(chosen, job), job.steps, timed, FREE, Observer())
    return total_s


@pytest.mark.parametrize(
    ("model", "text", "ranks"),
    [
        ("dit-tiny", "ring", 2),
        ("dit-b-2-256", "ring", 2),
        ("dit-b-2-256", "ulysses/residual-1bit", 4),
        ("mmdit-tiny", "patch", 3),
    ],
)
def test_compute_predicted_from_a_profile_beside_a_whole_run(
    model: str, text: str, ranks: int
) -> None:
    """All ranks' compute in 4 steps of a warm run, which nobody has recorded; within a third."""
    job, chosen = Job(model, ranks=ranks, steps=4).with_model(), schedule(text)
    with one_thread():
        wanted = sorted(calls([chosen], job), key=lambda each: each.kind)
        costs = MeasuredCosts("this", measured(wanted, "cpu", 20))
        computed_s(chosen, job)
        run_s = computed_s(chosen, job)
    predicted = simulate(chosen, job, costs, FREE)
    predicted_s = float(predicted.ops["cost_s"].sum())
    print(
        f"\n{model}, {text}, {ranks} ranks: {1e3 * predicted_s:.1f} ms of compute predicted from "
        f"a profile, {1e3 * run_s:.1f} ms in a run: {100 * (predicted_s / run_s - 1):+.1f} %"
    )
    assert 2 / 3 < predicted_s / run_s < 4 / 3
