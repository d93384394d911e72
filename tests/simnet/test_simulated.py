"""Laws of the simulator, over random networks and schedules."""

from __future__ import annotations

import math

import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simnet.costs import Roofline, Scaled
from simnet.devices import device
from simnet.drivers.replay import replay
from simnet.drivers.simulated import simulate
from simnet.job import Job
from simnet.network.recorded import RecordedNetwork
from simnet.network.topology import Links
from simnet.schedules.base import Schedule
from simnet.schedules.distrifusion import DistriFusion
from simnet.schedules.ring import RingAttention
from traces.summary import summarize

COST = Roofline(device("l20"))
JOB = Job("dit-nano", ranks=4, steps=4)

links = st.builds(
    Links,
    st.just("random"),
    st.floats(1e5, 1e12),
    st.floats(0, 1e-2),
)
schedules = st.sampled_from([RingAttention(), DistriFusion(), DistriFusion(warmup_steps=2)])


@settings(max_examples=10)
@given(links, schedules)
def test_the_same_inputs_give_the_same_trace_to_the_bit(net: Links, chosen: Schedule) -> None:
    """Every column of every row."""
    first, second = (simulate(chosen, JOB, COST, net) for _ in range(2))
    pd.testing.assert_frame_equal(first.ops, second.ops, check_exact=True)


@settings(max_examples=10)
@given(links, schedules)
def test_four_times_all_times_gives_exactly_four_times_every_time_stamp(
    net: Links, chosen: Schedule
) -> None:
    """Nothing has a scale of its own."""
    slow = Links("slow", net.rate_bps / 4, net.latency_s * 4)
    trace = simulate(chosen, JOB, COST, net).ops
    slowed = simulate(chosen, JOB, Scaled(COST, 4), slow).ops
    for column in ("start_s", "end_s", "cost_s"):
        pd.testing.assert_series_equal(slowed[column], 4 * trace[column], check_exact=True)


@settings(max_examples=10)
@given(links, schedules)
def test_a_replay_on_the_same_network_gives_the_same_trace_to_the_bit(
    net: Links, chosen: Schedule
) -> None:
    """The recorded program leaves the rows that it was made from."""
    trace = simulate(chosen, JOB, COST, net)
    again = replay(trace, net)
    pd.testing.assert_frame_equal(again.ops, trace.ops, check_exact=True)
    assert summarize(again).total_s == summarize(trace).total_s


@settings(max_examples=10)
@given(links, schedules)
def test_a_replay_on_the_recorded_network_gives_back_the_duration(
    net: Links, chosen: Schedule
) -> None:
    """The times of transfers, taken from the trace alone, put it together again."""
    trace = simulate(chosen, JOB, COST, net)
    again = replay(trace, RecordedNetwork.from_trace(trace))
    assert summarize(again).total_s == pytest.approx(summarize(trace).total_s, rel=1e-9)


@settings(max_examples=10)
@given(links, schedules)
def test_a_run_takes_at_least_its_compute_and_at_most_compute_and_transfers_in_turn(
    net: Links, chosen: Schedule
) -> None:
    """And each rank's time is compute, exposed communication and the host's, nothing else."""
    trace = simulate(chosen, JOB, COST, net)
    summary = summarize(trace)
    transfers = trace.ops[trace.ops["stream"] != "compute"]
    busy_s = (transfers["end_s"] - transfers["start_s"]).groupby(transfers["rank"]).sum()
    assert summary.compute_s <= summary.total_s * (1 + 1e-12)
    assert summary.total_s <= summary.compute_s + busy_s.max() + 1e-12
    for rank in summary.ranks:
        parts = rank.compute_s + rank.exposed_s + rank.host_s
        assert rank.total_s == pytest.approx(parts, rel=1e-9)


@settings(max_examples=10)
@given(links, schedules, st.floats(1, 100))
def test_a_faster_link_never_hurts(net: Links, chosen: Schedule, factor: float) -> None:
    """True here, where ranks are alike and every link has one user at a time."""
    faster = Links("faster", net.rate_bps * factor, net.latency_s)
    slow_s, fast_s = (
        summarize(simulate(chosen, JOB, COST, links)).total_s for links in (net, faster)
    )
    assert fast_s <= slow_s * (1 + 1e-12)


def test_a_slow_link_hurts_the_ring_and_spares_distrifusion_until_it_does_not() -> None:
    """What displacement is for: a whole step's compute hides an all-gather, up to a point."""

    def exposed_s(chosen: Schedule, rate_bps: float) -> float:
        ops = simulate(chosen, JOB, COST, Links("link", rate_bps)).ops
        waits = ops[(ops["kind"] == "wait") & (ops["step"] == 2) & (ops["rank"] == 0)]
        return float((waits["end_s"] - waits["start_s"]).sum())

    assert exposed_s(RingAttention(), 4e9) > 0
    assert exposed_s(DistriFusion(), 4e9) == 0
    assert exposed_s(DistriFusion(), 1e7) > 1e-3


def test_every_rank_does_the_same_on_a_symmetric_network() -> None:
    """Nothing depends on a rank's number but whom it talks to."""
    trace = simulate(RingAttention(), JOB, COST, Links("link", 1e9, 1e-5))
    by_rank = [rows.reset_index(drop=True) for _, rows in trace.ops.groupby("rank")]
    times = ["start_s", "end_s", "bytes", "wire_bytes"]
    for rows in by_rank[1:]:
        pd.testing.assert_frame_equal(rows[times], by_rank[0][times], check_exact=True)
    assert math.isfinite(trace.ops["end_s"].max())
