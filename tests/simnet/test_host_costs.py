"""What operations take of a rank's host, learned from live runs and paid in predictions."""

from __future__ import annotations

import math
from pathlib import Path

import pytest

from simnet.costs import Roofline
from simnet.devices import device
from simnet.drivers.cores import Cores
from simnet.drivers.engine import Machine, Work, play
from simnet.drivers.host import HostCosts, spread
from simnet.drivers.local import run_local
from simnet.drivers.observer import Observer
from simnet.drivers.simulated import simulate
from simnet.job import Job
from simnet.network.presets import NETWORKS
from simnet.ops import At, Compute, Program, Shift, Wait
from simnet.schedules.ring import RingAttention
from traces.errors import InputError
from traces.operation import Operation, table
from traces.run import Run
from traces.summary import summarize
from traces.trace import Trace

JOB = Job("dit-nano", ranks=2, steps=2)
RUN = Run("dit-nano", "ring", 1, 1, driver="distributed", device="cpu", network="gloo")


def nothing() -> None:
    """To compute."""


def row(seq: int, kind: str, start_s: float, end_s: float, **other: float) -> Operation:
    """Of rank 0."""
    stream = "world" if kind == "shift" else "compute"
    return Operation(0, seq, stream, kind, "x", 0, 0, start_s, end_s, **other)  # type: ignore[arg-type]


def seconds(cost_s: float) -> Machine:
    """A machine on which every compute takes that."""
    return lambda op: Work(None, op.fn.__name__, "", cost_s)


def computing(times: int) -> Program:
    """So many computes, one after the other."""
    yield At(0)
    for _ in range(times):
        yield Compute(nothing)


def test_gaps_posts_and_wakes_are_told_apart() -> None:
    """A gap after a transfer is its posting; a wait goes on some time after the transfer's end."""
    rows = [
        row(0, "compute", 0.1, 1.0, host_s=0.1),  # a rank's first: when it began
        row(1, "shift", 1.02, 2.0, host_s=0.02),
        row(2, "compute", 1.07, 1.5, host_s=0.05),
        row(3, "wait", 1.52, 2.004, host_s=0.02, waits_for=1),
    ]
    costs = HostCosts.of([Trace(RUN, table(rows))])

    assert set(costs.gap_s) == {0.02}
    assert set(costs.post_s) == {0.05}
    assert costs.wake_s == pytest.approx([0.004] * len(costs.wake_s))
    assert costs.late_s == ()


def test_a_wait_for_what_is_there_wakes_nobody() -> None:
    """It says nothing of how long that takes."""
    rows = [row(0, "shift", 0.0, 1.0), row(1, "wait", 2.0, 2.1, waits_for=0, host_s=0.0)]
    assert HostCosts.of([Trace(RUN, table(rows))]).wake_s == ()


def test_a_spread_keeps_the_mean_and_leaves_out_the_longest() -> None:
    """Which other processes made."""
    times_s = [0.001 * (1 + number % 3) for number in range(300)]
    values = spread([*times_s, 9.0])

    assert max(values) <= 0.003
    assert sum(values) / len(values) == pytest.approx(0.002, rel=0.05)
    assert spread([]) == ()


def test_what_cannot_be_is_refused() -> None:
    """Negative and infinite times, and runs without operations."""
    for wrong in (-1.0, math.inf, math.nan):
        with pytest.raises(InputError, match="wake_s has"):
            HostCosts(wake_s=(0.0, wrong))
    with pytest.raises(InputError, match="no operations"):
        HostCosts.of([])


def test_every_operation_pays_and_the_trace_says_so() -> None:
    """Gaps are the host's; what a compute ends late counts as its own."""
    host = HostCosts(gap_s=(0.5,), late_s=(0.25,))
    operations, _ = play(
        [computing(3)], 1, seconds(1.0), NETWORKS["infinite"], Observer(), host=host
    )

    assert [op.host_s for op in operations] == [0.0, 0.5, 0.5]
    assert [op.cost_s for op in operations] == [1.25] * 3
    assert operations[-1].end_s == 3 * 1.25 + 2 * 0.5


def test_posting_a_transfer_and_waking_up_after_it_take_their_own_time() -> None:
    """The transfer is on its way meanwhile."""

    def shifting() -> Program:
        yield At(0)
        ticket = yield Shift("x", JOB.latent)
        yield Wait(ticket)

    host = HostCosts(post_s=(0.125,), wake_s=(0.5,))
    network = NETWORKS["ethernet-100m"]
    free, _ = play([shifting(), shifting()], 1, seconds(0.0), network, Observer())
    paid, _ = play([shifting(), shifting()], 1, seconds(0.0), network, Observer(), host=host)

    assert paid[1].host_s == 0.125
    assert paid[1].end_s == pytest.approx(max(0.125, free[0].end_s) + (free[0].end_s > 0.125) * 0.5)


def test_the_same_seed_draws_the_same_and_ranks_draw_apart() -> None:
    """So that they do not come to an exchange at the same moment."""
    host = HostCosts(gap_s=spread([0.001 * number for number in range(100)]))
    one, other, again = (
        simulate(RingAttention(), JOB, Roofline(device("l20")), NETWORKS["pcie-4"], host=costs)
        for costs in (host, HostCosts(host.gap_s, seed=1), host)
    )
    assert one.ops.equals(again.ops)
    assert not one.ops["start_s"].equals(other.ops["start_s"])
    first, second = (rows["host_s"].tolist() for _, rows in one.ops.groupby("rank"))
    assert first != second


def test_without_host_costs_a_prediction_is_what_it_was() -> None:
    """To the bit."""
    plain, free = (
        simulate(RingAttention(), JOB, Roofline(device("l20")), NETWORKS["pcie-4"], **more)  # type: ignore[arg-type]
        for more in ({}, {"host": HostCosts()})
    )
    assert plain.ops.equals(free.ops)


def test_ranks_share_the_cores_evenly() -> None:
    """Four computes of a second on two cores take two seconds; one more rank alone, its own."""
    programs = [computing(1) for _ in range(4)]
    shared, _ = play(programs, 1, seconds(1.0), NETWORKS["infinite"], Observer(), cores=2)
    assert [op.end_s for op in shared] == pytest.approx([2.0] * 4)
    assert [op.cost_s for op in shared] == pytest.approx([2.0] * 4)

    enough, _ = play(
        [computing(1), computing(2)], 1, seconds(1.0), NETWORKS["infinite"], Observer(), cores=2
    )
    assert [op.end_s for op in enough] == pytest.approx([1.0, 1.0, 2.0])


def test_less_than_a_core_is_refused() -> None:
    """The number is told."""
    import simpy

    with pytest.raises(InputError, match="0 cores, expected 1 or more"):
        Cores(simpy.Environment(), 0)


def test_host_costs_can_be_learned_from_any_run(tmp_path: Path) -> None:
    """A recording of real ranks in one process has none to speak of, and is read all the same."""
    trace = run_local(RingAttention(), JOB, tmp_path / "t")
    costs = HostCosts.of([trace])

    assert max(costs.gap_s) == 0.0
    assert summarize(trace).host_s == 0.0
