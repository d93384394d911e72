"""Sweeps: a point for each trace and link, and for a real run one of its own."""

from __future__ import annotations

from dataclasses import replace

import pytest

from analysis.sweep import RATES_BPS, count, rates, sweep
from simnet.costs import Roofline
from simnet.devices import device
from simnet.drivers.simulated import simulate
from simnet.job import Job
from simnet.network import presets
from simnet.schedules.ring import RingAttention
from traces.trace import Trace


@pytest.fixture(scope="module")
def trace() -> Trace:
    """A small prediction."""
    job = Job("dit-nano", ranks=2, steps=2)
    return simulate(RingAttention(), job, Roofline(device("l20")), presets.links("ethernet-1g"))


def test_each_trace_has_a_point_on_each_link_under_its_label(trace: Trace) -> None:
    """One trace after the other; a faster link takes no longer here."""
    links = [*rates(latency_s=0.0), presets.links("pcie-4")]
    points = list(sweep({"one": trace, "other": trace}, links))

    assert [point["schedule"] for point in points] == ["one"] * 17 + ["other"] * 17
    assert [point["rate_bps"] for point in points[:16]] == list(RATES_BPS)
    assert [point["network"] for point in points[15:17]] == ["", "pcie-4"]
    totals_s = [point["total_s"] for point in points[:16]]
    assert totals_s == sorted(totals_s, reverse=True)


@pytest.mark.parametrize(("driver", "points"), [("distributed", 1), ("local", 0), ("simulated", 0)])
def test_only_a_run_over_a_network_is_a_point_itself(
    trace: Trace, driver: str, points: int
) -> None:
    """Where nothing was sent there is no rate to draw it at; and it is counted beforehand."""
    traces = {"T": Trace(replace(trace.run, driver=driver), trace.ops)}
    links = [presets.links("pcie-3")]
    swept = list(sweep(traces, links))

    assert len(swept) == count(traces, links) == 1 + points
    assert [point["evidence"] for point in swept] == ["predicted"] + ["measured"] * points


def test_points_are_made_one_at_a_time(trace: Trace) -> None:
    """So that whoever waits can be told how far it is."""
    made: list[str] = []

    class Told(dict[str, Trace]):
        def items(self) -> object:  # type: ignore[override]
            for label, value in super().items():
                made.append(label)
                yield label, value

    points = sweep(Told(one=trace, other=trace), [presets.links("pcie-3")])
    assert next(points)["schedule"] == "one"
    assert made == ["one"]
