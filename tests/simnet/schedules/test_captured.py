"""A simulation that goes by a recorded gate sends what the recorded run sent, row for row."""

from __future__ import annotations

from pathlib import Path

import pytest

from simnet.costs import Free
from simnet.drivers.local import run_local
from simnet.drivers.simulated import simulate
from simnet.job import Job
from simnet.network.presets import NETWORKS
from simnet.schedules.named import schedule, with_routing
from traces.join import join


@pytest.mark.parametrize("text", ["expert", "dice", "expert:skip=low", "dice:skip=high"])
def test_also_where_one_slot_of_each_token_goes_alone(text: str, tmp_path: Path) -> None:
    """Joining them fails where a shape differs; bytes for each member are the same as well."""
    job = Job("dit-moe-nano", ranks=2, steps=4)
    recorded = run_local(schedule(text), job, tmp_path / "t", keep=["chosen"])
    routed = with_routing(schedule(text), str(tmp_path / "t"))
    rows = join(recorded, simulate(routed, job, Free(), NETWORKS["infinite"]))

    assert (rows["wire_bytes_left"] == rows["wire_bytes_right"]).all()
    assert (rows["parts_left"] == rows["parts_right"]).all()
