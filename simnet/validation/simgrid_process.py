"""SimGrid where it is installed: its simulation of scenarios of ours, in a process of its own."""

from __future__ import annotations

import functools
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from simnet.validation.scenario import Scenario
from traces.errors import InputError, RunError
from traces.units import bits

RUNNER = Path(__file__).with_name("simgrid_runner.py")
#: Debian's SimGrid is for the system's interpreter, not for a virtual environment's.
INTERPRETERS = (sys.executable, "/usr/bin/python3")


class Simulated(NamedTuple):
    """When each flow of each scenario ends, and the time that all of the simulating took."""

    version: str
    ends_s: list[tuple[float, ...]]
    wall_s: float


@functools.cache
def interpreter() -> str | None:
    """The first one that has SimGrid; None if there is none."""
    return next(filter(_has_simgrid, INTERPRETERS), None)


def _has_simgrid(python: str) -> bool:
    try:
        done = subprocess.run([python, "-c", "import simgrid"], capture_output=True, check=False)
    except OSError:
        return False
    return not done.returncode


def simulate(scenarios: Sequence[Scenario]) -> Simulated:
    """Play the scenarios, which have no latencies, changes or empty flows, in SimGrid.

    (What it makes of latencies is told in docs/model.md; an empty flow ends with another's event.)
    Raises InputError where it is not installed, and RunError where it fails.
    """
    python = interpreter()
    if python is None:
        raise InputError(
            f"no SimGrid for {' or '.join(INTERPRETERS)}; install it with `apt-get install "
            "python3-simgrid`, or compare with the committed scenarios, which need none"
        )
    told = json.dumps([_to_json(scenario) for scenario in scenarios])
    done = subprocess.run(
        [python, str(RUNNER)], input=told, capture_output=True, text=True, check=False
    )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["nothing on stderr"])[-1]
        raise RunError(f"SimGrid: {python} ended with exit code {done.returncode}: {last}")
    answer = json.loads(done.stdout)
    runs = answer["runs"]
    ends_s = [tuple(run["ends_s"]) for run in runs]
    return Simulated(answer["version"], ends_s, sum(run["wall_s"] for run in runs))


def _to_json(scenario: Scenario) -> dict[str, object]:
    """In bytes, as SimGrid counts."""
    return {
        "links": {name: rate_bps / bits(1) for name, rate_bps in scenario.links.items()},
        "flows": [
            {"start_s": flow.start_s, "bytes": int(flow.nbytes), "route": flow.route}
            for flow in scenario.flows
        ],
    }
