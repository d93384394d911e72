"""The critical path: hand-made runs whose path is known, and what shortening its rows does."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis.critical_path import critical_path, shares
from simnet.costs import Roofline
from simnet.devices import DEVICES
from simnet.drivers.replay import replay
from simnet.drivers.simulated import simulate
from simnet.job import Job
from simnet.network.presets import NETWORKS
from simnet.network.topology import Links
from simnet.schedules.named import schedule
from traces.errors import TraceError
from traces.operation import Operation, table
from traces.run import Run
from traces.summary import summarize
from traces.trace import Trace

RUN = Run("tiny", "toy", ranks=2, steps=1, driver="simulated", device="toy", network="wire")


def row(rank: int, seq: int, kind: str, start_s: float, end_s: float, **more: object) -> Operation:
    """A row of step 0, layer 0."""
    stream = "compute" if kind in ("compute", "wait") else "world"
    made = Operation(rank, seq, stream, kind, kind, 0, 0, start_s, end_s)
    if kind == "compute":
        made.cost_s = end_s - start_s
    if stream == "world":
        made.group = "0,1"
    for name, value in more.items():
        setattr(made, name, value)
    return made


def trace(*rows: Operation, ranks: int = 2) -> Trace:
    """Of these."""
    return Trace(replace(RUN, ranks=ranks), table(rows))


def stretches(path: pd.DataFrame) -> list[tuple[int, str, float, float]]:
    """(rank, kind, start_s, end_s) of each."""
    columns = path[["rank", "kind", "start_s", "end_s"]]
    return [tuple(each) for each in columns.itertuples(index=False)]


def late_partner() -> list[Operation]:
    """Rank 0 is ready after 1 s, rank 1 after 4; the gather takes 2 s and rank 0 has most to do."""
    return [
        row(0, 0, "compute", 0.0, 1.0),
        row(0, 1, "all_gather", 1.0, 6.0),
        row(0, 2, "wait", 1.0, 6.0, waits_for=1),
        row(0, 3, "compute", 6.0, 9.0),
        row(1, 0, "compute", 0.5, 4.0, host_s=0.5),
        row(1, 1, "all_gather", 4.0, 6.0),
        row(1, 2, "wait", 4.0, 6.0, waits_for=1),
        row(1, 3, "compute", 6.0, 7.0),
    ]


def test_a_wait_leads_to_the_rank_that_asked_last() -> None:
    """From rank 0's end through the gather to rank 1, which was late, and its host before that."""
    path = critical_path(trace(*late_partner()))
    assert stretches(path) == [
        (1, "host", 0.0, 0.5),
        (1, "compute", 0.5, 4.0),
        (0, "transfer", 4.0, 6.0),
        (0, "compute", 6.0, 9.0),
    ]
    assert path["line"].tolist() == ["", "", "world (0,1)", ""]
    by_kind = shares(path).set_index("kind")["length_s"].to_dict()
    assert by_kind == {"compute": 6.5, "transfer": 2.0, "host": 0.5}
    assert math.isclose(shares(path)["share"].sum(), 1.0)
    assert path.attrs["summary"] == "72% compute, 22% transfer, 6% host"


def test_a_transfer_behind_another_leads_through_it() -> None:
    """The second gather was asked for at 1 s, but its line was busy with the first until 4."""
    rows = [
        row(0, 0, "compute", 0.0, 1.0),
        row(0, 1, "all_gather", 1.0, 4.0),
        row(0, 2, "all_gather", 1.0, 7.0),
        row(0, 3, "wait", 1.0, 7.0, waits_for=2),
        row(1, 0, "all_gather", 0.0, 4.0),
        row(1, 1, "all_gather", 0.0, 7.0),
        row(1, 2, "compute", 0.0, 2.0),
    ]
    path = critical_path(trace(*rows))
    assert stretches(path) == [
        (0, "compute", 0.0, 1.0),
        (0, "transfer", 1.0, 4.0),
        (0, "transfer", 4.0, 7.0),
    ]
    assert path["seq"].tolist() == [0, 1, 2]


def test_a_message_that_left_before_its_receiver_asked_is_the_senders() -> None:
    """A live sender may be through before its partner has come: it did not wait for that."""
    rows = [
        row(0, 0, "send", 0.0, 2.0, dst=1),
        row(0, 1, "wait", 0.0, 2.0, waits_for=0),
        row(0, 2, "compute", 2.0, 9.0),
        row(1, 0, "compute", 0.0, 5.0),
        row(1, 1, "recv", 5.0, 6.0, src=0),
        row(1, 2, "wait", 5.0, 6.0, waits_for=1),
    ]
    assert stretches(critical_path(trace(*rows))) == [
        (0, "transfer", 0.0, 2.0),
        (0, "compute", 2.0, 9.0),
    ]


def test_what_a_rank_does_after_its_transfer_was_over_is_the_hosts() -> None:
    """Waking up late; and a gap that `host_s` does not explain is idle, and said to be."""
    rows = [
        row(0, 0, "all_gather", 0.0, 2.0),
        row(0, 1, "wait", 0.0, 3.0, waits_for=0),
        row(0, 2, "compute", 6.0, 7.0, host_s=1.0),
        row(1, 0, "all_gather", 0.0, 2.0),
        row(1, 1, "wait", 0.0, 2.0, waits_for=0),
    ]
    assert stretches(critical_path(trace(*rows))) == [
        (0, "transfer", 0.0, 2.0),
        (0, "host", 2.0, 3.0),
        (0, "idle", 3.0, 5.0),
        (0, "host", 5.0, 6.0),
        (0, "compute", 6.0, 7.0),
    ]


def test_a_missing_rank_makes_its_transfers_unknown() -> None:
    """It may have been late, so that nobody can say that the network was slow."""
    path = critical_path(trace(*late_partner()[:4]))
    assert stretches(path)[1] == (0, "unknown", 1.0, 6.0)
    assert path.attrs["gaps"] == "world (0,1): rows of some of its ranks are missing"


def test_a_run_of_one_rank_is_computing_all_along() -> None:
    """There is nobody to wait for."""
    job = Job("dit-nano", ranks=1, steps=3)
    alone = simulate(schedule("single"), job, Roofline(DEVICES["l20"]), NETWORKS["ethernet-1g"])
    path = critical_path(alone)
    assert set(path["kind"]) == {"compute"}
    assert path["length_s"].sum() == pytest.approx(summarize(alone).total_s)


@pytest.mark.parametrize(
    "name", ["ring", "distrifusion", "pipefusion", "ulysses", "cfg+ring", "interweaved", "expert"]
)
def test_the_stretches_tile_the_run(name: str) -> None:
    """Each begins where the one before ends, from 0 to the run's end; all is explained."""
    model = "dit-moe-nano" if name in ("interweaved", "expert", "cfg+ring") else "dit-nano"
    job = Job(model, ranks=2 if name == "pipefusion" else 4, steps=3)
    run = simulate(schedule(name), job, Roofline(DEVICES["l20"]), NETWORKS["ethernet-1g"])
    path = critical_path(run)
    assert path["start_s"].iloc[0] == 0
    np.testing.assert_array_equal(path["start_s"][1:], path["end_s"][:-1])
    assert path["end_s"].iloc[-1] == summarize(run).total_s == path.attrs["total_s"]
    assert math.fsum(path["length_s"]) == pytest.approx(path.attrs["total_s"], rel=1e-12)
    assert set(path["kind"]) <= {"compute", "transfer"}


@pytest.mark.slow
@pytest.mark.parametrize("name", ["ring", "pipefusion", "distrifusion", "interweaved"])
def test_only_rows_on_the_path_make_the_run_longer(name: str) -> None:
    """The plain reference: every compute in turn takes a little longer, and the run is replayed.

    It ends so much later where the row is on the path, and as before where it is not. Costs are
    drawn, so that no two paths are as long; the network has latency alone, so that transfers do
    not slow each other.
    """
    model = "dit-moe-nano" if name == "interweaved" else "dit-nano"
    ranks = 2 if name in ("interweaved", "pipefusion") else 3
    wire = Links("wire", math.inf, latency_s=3e-6)
    job = Job(model, ranks=ranks, steps=3)
    run = simulate(schedule(name), job, Roofline(DEVICES["l20"]), wire)
    drawn = np.random.default_rng(0).gamma(4.0, 0.25, len(run.ops))
    run = replay(Trace(run.run, run.ops.assign(cost_s=run.ops["cost_s"] * drawn)), wire)
    path = critical_path(run)
    on_path = set(path.loc[path["kind"] == "compute", ["rank", "seq"]].itertuples(index=False))
    more_s = 1e-4 * path.attrs["total_s"] / len(path)
    computes = run.ops.index[run.ops["cost_s"] > 0]
    for index in np.random.default_rng(1).choice(computes, 12, replace=False):
        costs_s = run.ops["cost_s"].copy()
        costs_s[index] += more_s
        after = replay(Trace(run.run, run.ops.assign(cost_s=costs_s)), wire)
        later_s = summarize(after).total_s - path.attrs["total_s"]
        key = tuple(run.ops.loc[index, ["rank", "seq"]])
        assert later_s == pytest.approx(more_s if key in on_path else 0.0, abs=1e-3 * more_s)


@pytest.mark.slow
@given(
    seed=st.integers(0, 2**32 - 1),
    rate_bps=st.floats(1e6, 1e11),
    name=st.sampled_from(["ring", "distrifusion:warmup_steps=2", "ulysses", "pipefusion"]),
)
@settings(max_examples=10)
def test_any_costs_and_gaps_make_a_path_that_tiles(seed: int, rate_bps: float, name: str) -> None:
    """Whatever computes and hosts take, and however slow the network is."""
    wire = Links("wire", rate_bps, latency_s=1e-5)
    job = Job("dit-nano", ranks=2, steps=2)
    ops = simulate(schedule(name), job, Roofline(DEVICES["l20"]), wire).ops
    random = np.random.default_rng(seed)
    costs_s = ops["cost_s"] * random.gamma(1.0, 2.0, len(ops))
    gaps_s = random.gamma(0.2, 1e-5, len(ops))
    run = replay(Trace(replace(RUN, steps=2), ops.assign(cost_s=costs_s, host_s=gaps_s)), wire)
    path = critical_path(run)
    assert path["start_s"].iloc[0] == 0
    np.testing.assert_array_equal(path["start_s"][1:], path["end_s"][:-1])
    assert path["end_s"].iloc[-1] == summarize(run).total_s
    assert set(path["kind"]) <= {"compute", "transfer", "host"}
    assert path.attrs["gaps"] == ""


def test_a_trace_without_computes_has_no_path() -> None:
    """And says so."""
    with pytest.raises(TraceError, match="no rank computed or waited"):
        critical_path(trace(row(0, 0, "all_gather", 0.0, 1.0), row(1, 0, "all_gather", 0.0, 1.0)))


def test_a_run_that_took_no_time_has_no_shares() -> None:
    """An empty path, and nothing that would be a share of nothing."""
    path = critical_path(trace(row(0, 0, "compute", 0.0, 0.0), ranks=1))
    assert path.empty
    assert shares(path).empty
