"""Latencies from a few steps: the same as of the whole run, for everything there is."""

from __future__ import annotations

import pytest

from analysis.plan.setting import Setting
from analysis.plan.steady import latency
from simnet.devices import device
from simnet.drivers.simulated import simulate
from simnet.network.files import find
from simnet.schedules.named import schedule
from traces.errors import InputError
from traces.summary import summarize

_STEPS = 26
_DENSE = (
    "ring",
    "ring/residual2-2bit",
    "ulysses/residual-1bit",
    "usp:ulysses=2/int8",
    "patch/residual-1bit:warmup_steps=3",
    "tensor",
    "distrifusion",
    "distrifusion:warmup_steps=4:layers=2/residual-1bit",
    "pipefusion",
    "pipefusion:patches=8:warmup_steps=2/residual-int4",
    "data:images=2+ring",
    "cfg+distrifusion",
)
_EXPERTS = (
    "expert:wire=float8",
    "expert:capacity=1.25",
    "displaced-expert/residual-1bit",
    "interweaved:sync=deep:cooldown_steps=3",
    "interweaved:stride=4",
    "dice",
    "dice:warmup_steps=3/residual-2bit",
    "dice-released",
)


def _setting(model: str, network: str, steps: int = _STEPS) -> Setting:
    return Setting(model, 4, steps, 4, "bfloat16", device("l20"), find(network))


def _whole_s(setting: Setting, text: str) -> float:
    chosen = setting.as_run(schedule(text))
    job = setting.job_of(chosen)
    trace = simulate(
        chosen, job, setting.cost, setting.network, outside_s=setting.outside_s
    )  # all steps
    return summarize(trace).total_s


@pytest.mark.parametrize("network", ["ethernet-100m", "pcie-4", "wifi-6"])
@pytest.mark.parametrize("text", _DENSE)
def test_few_steps_tell_what_the_whole_run_takes(text: str, network: str) -> None:
    """On slow, fast and shared links, to rounding, with fewer steps simulated."""
    setting = _setting("crossdit-tiny", network)
    found = latency(setting, setting.as_run(schedule(text)), setting.job_of(schedule(text)))
    assert found.total_s == pytest.approx(_whole_s(setting, text), rel=1e-9)
    assert found.computing_s <= found.total_s * (1 + 1e-9)


@pytest.mark.parametrize("text", _EXPERTS)
def test_experts_steps_repeat_with_the_slots_left_out(text: str) -> None:
    """Also where slots take turns, steps are forced, or the end differs."""
    setting = _setting("dit-moe-nano", "ethernet-1g")
    found = latency(setting, setting.as_run(schedule(text)), setting.job_of(schedule(text)))
    assert found.total_s == pytest.approx(_whole_s(setting, text), rel=1e-9)


def test_steady_steps_are_not_simulated() -> None:
    """A hundred steps of a ring cost no more than five."""
    setting = _setting("crossdit-tiny", "ethernet-1g", steps=100)
    found = latency(setting, schedule("ring"), setting.job_of(schedule("ring")))
    assert found.steps == 5


@pytest.mark.parametrize(
    "text",
    ["distrifusion/residual-1bit", "pipefusion", "cfg+pipefusion:warmup_steps=2", "interweaved"],
)
def test_runs_too_short_to_repeat_are_worked_out_whole(text: str) -> None:
    """Also where the evaluator refuses the graph, as that of PipeFusion on a GPU."""
    model = "dit-moe-nano" if text == "interweaved" else "crossdit-tiny"
    setting = _setting(model, "ethernet-1g", steps=6)
    found = latency(setting, setting.as_run(schedule(text)), setting.job_of(schedule(text)))
    assert found.steps == 6
    assert found.total_s == pytest.approx(_whole_s(setting, text), rel=1e-9)


def test_images_must_split_over_teams() -> None:
    """One image cannot be two teams' work, and the message says what could."""
    setting = Setting("dit-nano", 4, 4, 1, "bfloat16", device("l20"), find("pcie-4"))
    with pytest.raises(InputError, match="a batch of 1 does not split over 2 teams"):
        setting.job_of(schedule("data:images=2+ring"))
