"""The search: what it chooses is what an exhaustive search chooses."""

from __future__ import annotations

import math
from dataclasses import dataclass
from random import Random

import pytest

from analysis.plan.bounds import at_least_s
from analysis.plan.front import Worth, front, worth
from analysis.plan.quality import SHIPPED, Measured, Quality
from analysis.plan.search import Budget, Found, search
from analysis.plan.setting import Setting
from analysis.plan.space import Plan, plans, uncoded
from simnet.codecs.named import names
from simnet.devices import device
from simnet.drivers.simulated import simulate
from simnet.job import Job
from simnet.memory import Memory
from simnet.network.files import find
from simnet.schedules.base import TeamSchedule
from simnet.schedules.named import spec
from traces.errors import InputError
from traces.summary import summarize

_MODELS = ("dit-nano", "mmdit-tiny", "crossdit-tiny", "skipdit-tiny", "dit-moe-nano")
_GPUS = ("t4", "l20", "h100-sxm")
_NETWORKS = (
    "ethernet-100m", "ethernet-1g", "ethernet-10g", "pcie-4", "nvlink-4", "wifi-6", "pcie-3-staged",
    "shared-bucket-16g", "hosts-of-4-ethernet-10g", "infinite",
)  # fmt: skip


@dataclass(frozen=True)
class Drawn:
    """Somebody who has an opinion of most plans, drawn by their names."""

    seed: int
    unit: str = "drawn"

    def of(self, chosen: TeamSchedule, job: Job) -> Quality | None:
        """See quality.Source."""
        drawn = Random(f"{self.seed} {spec(chosen)} {job.steps}")  # noqa: S311 - no secret
        db = drawn.choice((None, 22.0, 30.5, 37.0, 44.0, math.inf))
        return None if db is None else Quality(db, 0.0, self.unit)


@dataclass(frozen=True)
class Point:
    """A plan that was simulated whole."""

    text: str
    latency_s: float
    worth: Worth


def _case(seed: int) -> tuple[Setting, list[Plan], Drawn, Budget]:
    draw = Random(seed)  # noqa: S311 - no secret
    ranks = draw.choice((1, 2, 4, 4, 8))
    gpu = device(draw.choice(_GPUS))
    setting = Setting(
        draw.choice(_MODELS),
        ranks,
        draw.randint(2, 11),
        draw.choice((1, ranks)),
        draw.choice(("bfloat16", "float32")),
        gpu,
        find(draw.choice(_NETWORKS)),
    )
    texts = list(uncoded(ranks))
    named = draw.sample(texts, min(6, len(texts)))
    tried = list(plans(ranks, named, draw.sample(names(), 2)))
    memory = draw.choice((gpu.memory_bytes, 4e6, 1e6))
    budget = Budget(memory, draw.choice((-math.inf, 30.0, 40.0)))
    return setting, [plan for plan in tried if isinstance(plan, Plan)], Drawn(seed), budget


def _exhaustive(setting: Setting, tried: list[Plan], source: Drawn, budget: Budget) -> list[Point]:
    """A plain loop over all plans, with whole simulations."""
    found = []
    for plan in tried:
        chosen = setting.as_run(plan.schedule)
        try:
            job = setting.job_of(chosen)
            chosen.check(job)
        except InputError:
            continue
        memory = Memory.of(chosen, job).most_bytes
        quality = source.of(plan.schedule, job)
        if quality is None or quality.db < budget.quality_db or memory > budget.memory_bytes:
            continue
        outside_s = setting.outside_s
        trace = simulate(chosen, job, setting.cost, setting.network, outside_s=outside_s)
        total_s = summarize(trace).total_s
        least_s = at_least_s(setting, chosen, job, chosen.claims(job))
        assert least_s <= total_s * (1 + 1e-9), plan.text  # else what is left out could win
        has = setting.device.memory_bytes
        found.append(Point(plan.text, total_s, worth(quality.db, memory, has)))
    return found


def _agrees(seed: int) -> None:
    setting, tried, source, budget = _case(seed)
    points = _exhaustive(setting, tried, source, budget)
    if not points:
        with pytest.raises(InputError, match="no plan is left"):
            search(setting, tried, source, budget)
        return
    found: Found = search(setting, tried, source, budget)
    fastest = min(points, key=lambda point: (point.latency_s, point.text))
    assert found.lines[0].latency_s == pytest.approx(fastest.latency_s, rel=1e-9)
    same = [p.text for p in points if p.latency_s <= fastest.latency_s * (1 + 1e-9)]
    assert found.lines[0].text in same
    expected, actual = front(points), found.front
    assert [line.worth for line in actual] == [point.worth for point in expected]
    assert [line.latency_s for line in actual] == pytest.approx(
        [point.latency_s for point in expected], rel=1e-9
    )


@pytest.mark.parametrize("seed", range(4))
def test_the_first_choice_and_the_front_are_those_of_an_exhaustive_search(seed: int) -> None:
    """Random models, GPUs, networks, ranks, plans and budgets; and no bound is above the truth."""
    _agrees(seed)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(0, 200, 5))
def test_200_random_cases_agree_with_an_exhaustive_search(first: int) -> None:
    """The same, five at a time."""
    for seed in range(first, first + 5):
        _agrees(1000 + seed)


def test_a_budget_that_nothing_keeps_says_what_is_least() -> None:
    """The error names the plan that needs least memory, and how much that is."""
    setting = Setting("dit-nano", 2, 4, 1, "bfloat16", device("l20"), find("pcie-4"))
    tried = list(plans(2, ["ring", "tensor"], []))
    with pytest.raises(InputError, match=r"2 do not fit in memory \(least is tensor, which needs"):
        search(setting, tried, Measured.open(SHIPPED), Budget(1000.0))


def test_an_unknown_quality_is_never_weighed() -> None:
    """A codec that nobody has measured is listed, not simulated, and cannot be chosen."""
    setting = Setting("dit-nano", 2, 4, 1, "bfloat16", device("l20"), find("ethernet-1g"))
    found = search(
        setting, plans(2, ["ring"], ["lowrank:rank=2"]), Measured.open(SHIPPED), Budget(math.inf)
    )
    assert [line.text for line in found.lines] == ["ring"]
    assert [candidate.text for candidate in found.unknown] == ["ring/lowrank:rank=2"]


def test_dense_models_have_no_plans_for_experts() -> None:
    """They are refused with the reason, and counted."""
    setting = Setting("dit-nano", 2, 4, 2, "bfloat16", device("l20"), find("pcie-4"))
    found = search(setting, plans(2, ["ring", "dice"], []), Drawn(0), Budget(math.inf))
    (refused,) = found.refused["cannot run"]
    assert "has no experts" in refused.why
    assert found.count == 2
