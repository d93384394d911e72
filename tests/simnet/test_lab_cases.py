"""What the lab runs: every kind of network, schedule and codec, and cases that can be run."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from simnet.lab.cases import Case, full, quick
from simnet.lab.computing import PACED, REAL
from simnet.lab.order import RUN, run_order, task
from simnet.schedules.named import schedule

EVERY = {case.workload: case for case in (*full(), *quick())}


def test_the_full_list_has_every_kind_of_everything() -> None:
    """Ranks, rates, networks, methods of both families, codecs, and both ways to compute."""
    cases = full()

    assert len(cases) >= 100
    assert {case.network.ranks for case in cases} == {2, 4}
    assert {case.network.hosts[0].rate_bps / 1e6 for case in cases} >= {20, 50, 100, 200, 500}
    kinds = {case.network.name.split("-")[0] for case in cases}
    assert kinds == {"flat", "two", "slow", "busy"}
    assert {case.method for case in cases} == {
        *("ring", "ulysses", "patch", "distrifusion", "pipefusion"),
        *("expert", "displaced-expert", "interweaved", "dice"),
    }
    codecs = {case.codec.split(":")[0] for case in cases}
    assert codecs == {"raw", "residual-1bit", "residual-2bit", "residual-lowrank"}
    assert {case.compute for case in cases} == {PACED, REAL}


def test_the_quick_list_is_a_small_one_of_both_families() -> None:
    """With codecs, and both ways to compute."""
    cases = quick()

    assert 12 <= len(cases) <= 20
    assert {case.has_experts for case in cases} == {False, True}
    assert len({case.codec for case in cases}) == 4
    assert {case.compute for case in cases} == {PACED, REAL}


@pytest.mark.parametrize("cases", [full(), quick()], ids=["full", "quick"])
def test_no_case_comes_twice_and_a_network_is_made_once(cases: list[Case]) -> None:
    """So that keys tell cases apart, and no network is calibrated again."""
    assert max(Counter(case.key for case in cases).values()) == 1
    names = [case.network.name for case in cases]
    changes = sum(one != other for one, other in pairwise(names))
    assert changes == len(set(names)) - 1


@pytest.mark.parametrize("case", EVERY.values(), ids=lambda case: case.schedule)
def test_every_case_can_run(case: Case) -> None:
    """Its schedule takes its codec, its model and its number of ranks."""
    schedule(case.schedule).check(case.workload.job())


def test_an_order_tells_a_rank_all_that_it_needs(tmp_path: Path) -> None:
    """Through a pipe, in plain values: schedule, job, groups and where to record."""
    (case, *_) = (case for case in quick() if case.codec != "raw")
    (told,) = run_order(case.workload, tmp_path / "t", keep=["kv"]).values()
    asked = task(told)

    assert asked.schedule == schedule(case.schedule)
    assert asked.job == case.workload.job()
    assert asked.path == tmp_path / "t"
    assert asked.keep == ("kv",)
    assert asked.rehearsal.groups
    assert RUN in run_order(case.workload, tmp_path / "t")
