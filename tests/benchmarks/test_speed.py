"""How fast the simulator is, and how true a replay is to an idle machine. Run by `make bench`.

Each prints its number beside the bar it must clear.
"""

from __future__ import annotations

import statistics
from pathlib import Path
from time import perf_counter

import pytest

from simnet.costs import Roofline
from simnet.devices import device
from simnet.drivers.launch import run_distributed
from simnet.drivers.replay import replay
from simnet.drivers.simulated import simulate
from simnet.job import Job
from simnet.network.presets import network
from simnet.network.recorded import RecordedNetwork
from simnet.schedules.base import Schedule
from simnet.schedules.distrifusion import DistriFusion
from simnet.schedules.named import spec
from simnet.schedules.ring import RingAttention
from traces.summary import summarize

pytestmark = pytest.mark.bench


def report(what: str, value: str, bar: str) -> None:
    """On a line of its own, past pytest's dots."""
    print(f"\n{what}: {value} (bar: {bar})", end="")


@pytest.mark.parametrize("chosen", [RingAttention(), DistriFusion()], ids=spec)
def test_a_flux_shaped_run_simulates_in_under_5_s_and_30_us_an_operation(chosen: Schedule) -> None:
    """57 layers, 28 steps, 4 ranks; the best of three, after import."""
    job = Job("flux-shaped", ranks=4, steps=28, dtype="bfloat16")
    cost, net = Roofline(device("l20")), network("ethernet-10g")
    took_s, operations = [], 0
    for _ in range(3):
        began_s = perf_counter()
        operations = len(simulate(chosen, job, cost, net).ops)
        took_s.append(perf_counter() - began_s)
    best_s = min(took_s)
    each_us = 1e6 * best_s / operations
    what = f"{chosen.name}, 57 layers x 28 steps x 4 ranks, {operations} operations"
    report(what, f"{best_s:.2f} s, {each_us:.1f} us an operation", "5 s, 30 us")
    assert best_s < 5
    assert each_us < 30


@pytest.mark.parametrize("chosen", [RingAttention(), DistriFusion()], ids=spec)
def test_a_replay_on_the_recorded_network_is_within_5_percent(
    chosen: Schedule, tmp_path: Path
) -> None:
    """Of the live run's duration; the median of five runs of 4 processes."""
    errors = []
    for number in range(5):
        live = run_distributed(chosen, Job("dit-tiny", ranks=4, steps=8), tmp_path / str(number))
        again = replay(live, RecordedNetwork.from_trace(live))
        errors.append(summarize(again).total_s / summarize(live).total_s - 1)
    shown = ", ".join(f"{error:+.2%}" for error in errors)
    report(f"{chosen.name}, replayed against measured", shown, "5 % in the median")
    assert abs(statistics.median(errors)) < 0.05
