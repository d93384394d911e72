"""How true compute times are that were carried over from one schedule to others: `make bench`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from simnet.drivers.local import run_local
from simnet.drivers.simulated import simulate
from simnet.job import Job
from simnet.network.presets import NETWORKS
from simnet.recognition.carried import carry_over, recorded_part
from simnet.schedules.named import schedule
from traces.trace import Trace

pytestmark = pytest.mark.bench
SCHEDULES = ("ring", "ulysses", "patch", "tensor")


def test_measured_schedules_predict_each_others_compute_within_30_percent(tmp_path: Path) -> None:
    """dit-s-2-256 on two ranks in turn, recorded as from outside; each from each other."""
    job, traces = Job("dit-s-2-256", ranks=2, steps=10), {}
    for name in SCHEDULES:
        run_local(schedule(name), job, tmp_path / name)
        traces[name] = Trace.open(tmp_path / name)
    errors = []
    for source, trace in traces.items():
        seen = Trace(replace(trace.run, driver="captured", schedule="captured"), trace.ops)
        cost = carry_over(seen, job.model_name)
        for other, truth in traces.items():
            predicted = simulate(schedule(other), job, cost, NETWORKS["infinite"])
            error = recorded_part(predicted).total_s / recorded_part(truth).total_s - 1
            errors.append(abs(error))
            print(f"\n{other} from {source}: {error:+.1%} (bar: 30 %)", end="")
    assert max(errors) < 0.3
