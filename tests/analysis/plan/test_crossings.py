"""Break-even bandwidths: as a bisection over the simulator has them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pytest

from analysis.plan.crossings import AROUND, crossings
from analysis.plan.curves import Array, Curve, Grid
from analysis.plan.networks import described, rate_bps, scaled
from analysis.plan.setting import Setting
from simnet.devices import device
from simnet.drivers.simulated import simulate
from simnet.network.files import find
from simnet.schedules.named import schedule
from traces.summary import summarize


def _simulated_s(setting: Setting, text: str, factor: float) -> float:
    chosen = setting.as_run(schedule(text))
    network = scaled(setting.network, factor)
    outside_s = setting.outside_s
    job = setting.job_of(chosen)
    return summarize(simulate(chosen, job, setting.cost, network, outside_s=outside_s)).total_s


def _bisected(setting: Setting, one: str, other: str) -> float:
    """A factor of the rates, to 1e-5 of itself; of latencies simulated whole."""

    def is_first(factor: float) -> bool:
        return _simulated_s(setting, one, factor) < _simulated_s(setting, other, factor)

    low, high = AROUND.least, AROUND.most
    before = is_first(low)
    assert is_first(high) != before
    while high / low > 1 + 1e-5:
        middle = float(np.sqrt(low * high))
        low, high = (middle, high) if is_first(middle) == before else (low, middle)
    return low


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "network", "one", "other"),
    [
        ("mmdit-tiny", "ethernet-10g", "ring", "ring/residual-1bit"),
        ("dit-tiny", "ethernet-10g", "ulysses", "pipefusion"),
        ("dit-tiny", "shared-bucket-16g", "patch", "patch/int8"),
    ],
)
def test_break_even_agrees_with_a_bisection_of_the_simulator(
    model: str, network: str, one: str, other: str
) -> None:
    """To 1e-3, also where messages share a link and the graph alone cannot say."""
    setting = Setting(model, 4, 9, 1, "float32", device("cpu-core"), find(network))
    curves = [Curve(setting, text, schedule(text)) for text in (one, other)]
    found = crossings(curves[0], curves[1], AROUND)
    assert len(found) == 1
    assert found[0].factor == pytest.approx(_bisected(setting, one, other), rel=1e-3)
    ends = [_simulated_s(setting, text, found[0].factor) for text in (one, other)]
    assert found[0].latency_s == pytest.approx(ends[0], rel=1e-9)
    assert ends[0] == pytest.approx(ends[1], rel=1e-4)


@pytest.mark.parametrize("name", ["ethernet-1g", "wifi-6", "hosts-of-4-ethernet-10g"])
def test_a_plan_on_other_networks_is_what_the_simulator_says(name: str) -> None:
    """Faster and slower links, and half the latency: links of their own, a medium, islands."""
    setting = Setting("dit-tiny", 8, 4, 1, "float32", device("cpu-core"), find(name))
    curve = Curve(setting, "ring/int8", schedule("ring/int8"))
    for rate, latency in ((0.1, 1.0), (2.0, 1.0), (1.0, 0.5)):
        network = scaled(setting.network, rate, latency)
        there = curve.on(network).total_s(1.0)
        expected = _simulated_s(setting.on(network), "ring/int8", 1.0)
        assert there == pytest.approx(expected, rel=1e-9)
        if latency == 1.0:
            assert curve.total_s(rate) == pytest.approx(expected, rel=1e-9)


def test_a_plan_does_not_cross_itself() -> None:
    """Nor one that is slower throughout."""
    setting = Setting("dit-tiny", 4, 5, 1, "float32", device("cpu-core"), find("ethernet-10g"))
    ring = Curve(setting, "ring", schedule("ring"))
    assert crossings(ring, Curve(setting, "ring", schedule("ring")), AROUND) == []


@dataclass(eq=False)
class _Formula(Curve):
    """Latency in closed form: a sum of a constant, and of what grows with the time of a bit."""

    terms: tuple[tuple[float, float], ...] = ()

    def exactly_s(self, factor: float) -> float:
        """The largest of straight lines in 1/rate."""
        return max(a + b / factor for a, b in self.terms)

    def quickly_s(self, factors: Sequence[float] | Array) -> Array:
        """The same."""
        return np.array([self.exactly_s(float(factor)) for factor in factors])


def test_every_crossing_is_found() -> None:
    """A plan may be faster on slow and on fast links, and slower between."""
    setting = Setting("dit-nano", 2, 4, 1, "float32", device("l20"), find("ethernet-10g"))
    bent = _Formula(setting, "bent", schedule("ring"), terms=((1.0, 3.0), (4.5, 0.5), (0.0, 4.0)))
    straight = _Formula(setting, "straight", schedule("ring"), terms=((4.2, 1.1),))
    found = crossings(bent, straight, Grid(0.01, 100.0))
    assert [(x.slower_links, x.faster_links) for x in found] == [
        ("straight", "bent"),
        ("bent", "straight"),
    ]
    # Where 4/x is 4.2 + 1.1/x, and where 4.5 + 0.5/x is.
    assert [crossing.factor for crossing in found] == pytest.approx([2.9 / 4.2, 2.0], rel=1e-3)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ethernet-10g", "18.8 Gbit/s"),
        ("wifi-6", "700 Mbit/s"),
        ("hosts-of-4-ethernet-10g", "18.8 Gbit/s between islands"),
        ("pcie-4-p2p", "384 Gbit/s on the slowest link, others in proportion"),
    ],
)
def test_a_faster_network_is_said_by_what_is_faster(name: str, said: str) -> None:
    """Links, a medium, what joins islands, or all links of a graph."""
    network = find(name)
    assert described(network, 2.0) == said
    assert rate_bps(scaled(network, 2.0)) == pytest.approx(2 * rate_bps(network))
