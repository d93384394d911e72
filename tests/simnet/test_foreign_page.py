"""The commands of docs/foreign.md, one after the other."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from simnet.cli import OK, call
from simnet.costs import Roofline
from simnet.devices import device
from simnet.drivers.simulated import simulate
from simnet.job import Job
from simnet.network.presets import network
from simnet.schedules.named import schedule
from traces.trace import Trace

PAGE = (Path(__file__).parents[2] / "docs" / "foreign.md").read_text()


@pytest.mark.slow
def test_every_command_of_the_page_runs(
    stripped: Callable[[Trace], Trace],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """On somebody's recording of FLUX.1-dev on four GPUs."""
    monkeypatch.chdir(tmp_path)
    job = Job("flux.1-dev", ranks=4, steps=2, dtype="bfloat16")
    run = simulate(schedule("patch"), job, Roofline(device("l20")), network("pcie-4"))
    stripped(run).save("T")
    commands = re.findall(r"^\$ (thinwire .*)$", PAGE, re.MULTILINE)
    assert len(commands) == 6
    for command in commands:
        assert call(shlex.split(command)[1:]) == OK, command
    said = capsys.readouterr().out
    assert "schedule: patch\nmodel: flux.1-dev" in said
    assert "flux.1-dev, ulysses, 4 ranks, 4 steps on ethernet-10g" in said
