"""Fresh random scenarios, side by side with SimGrid where it is installed."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator

import pytest

from simnet.commands.validate import simulators
from simnet.validation import simgrid_process
from simnet.validation.flows import load
from simnet.validation.fresh import KINDS, fresh
from simnet.validation.scenario import LIMIT, Flow, Scenario, error, play
from simnet.validation.suites import DATA, SimGrid
from traces.errors import InputError, RunError

needs_simgrid = pytest.mark.skipif(
    simgrid_process.interpreter() is None, reason="SimGrid is not installed: python3-simgrid"
)


@pytest.fixture
def no_interpreter_has_it(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """As on a machine without SimGrid."""
    monkeypatch.setattr(simgrid_process, "INTERPRETERS", ("/nowhere/python3",))
    simgrid_process.interpreter.cache_clear()
    yield
    simgrid_process.interpreter.cache_clear()


@needs_simgrid
@pytest.mark.parametrize("seed", [7, 2024])
def test_sharing_agrees_with_simgrid_on_what_nobody_has_seen(seed: int) -> None:
    """Thirty scenarios of each kind."""
    result = SimGrid(90, seed).run()
    assert result.cases == 90
    assert result.flows == len(result.compared) > 2000
    assert result.max_error <= LIMIT
    assert result.median_error <= 1e-15


@needs_simgrid
def test_simgrid_says_what_it_said_when_the_committed_ends_were_taken() -> None:
    """So that what we run it with is what they were made with."""
    cases = load(DATA / "simgrid_flows.json")
    simulated = simgrid_process.simulate([case.scenario for case in cases])
    for case, ends_s in zip(cases, simulated.ends_s, strict=True):
        for flow, now_s, then_s in zip(case.scenario.flows, ends_s, case.expected_s, strict=True):
            assert error(flow.start_s, now_s, then_s) <= LIMIT


@needs_simgrid
def test_a_scenario_by_hand_in_both() -> None:
    """One alone, then half each, then the other alone; the file need not be in order of time."""
    flows = Flow(0.5, 8, ("b", "a")), Flow(0.0, 8, ("a",)), Flow(3.0, 16, ("a", "b"))
    scenario = Scenario({"a": 64.0, "b": 640.0}, flows)
    assert play(scenario) == [2.0, 1.5, 5.0]
    [ends_s] = simgrid_process.simulate([scenario]).ends_s
    assert ends_s == pytest.approx([2.0, 1.5, 5.0], rel=1e-12)


@needs_simgrid
def test_the_command_prints_how_long_both_took(capsys: pytest.CaptureFixture[str]) -> None:
    """For machines and for people."""
    simulators(simgrid=6, seed=7, json=True)
    [suite] = json.loads(capsys.readouterr().out)["suites"]
    assert (suite["suite"], suite["cases"], suite["pass"]) == ("simgrid", 6, True)
    assert suite["wall_s"] > 0
    assert suite["simgrid_wall_s"] > 0
    simulators(simgrid=6, seed=7)
    printed = capsys.readouterr().out
    assert re.search(r"simgrid: simulated in .+s here, .+s in SimGrid \d\.\d+.* as long", printed)


@needs_simgrid
def test_what_simgrid_refuses_is_told_in_its_words() -> None:
    """The last line that it printed, no traceback."""
    scenario = Scenario({"a": 64.0}, (Flow(0.0, 8, ("b",)),))
    with pytest.raises(RunError, match=r"SimGrid: .* ended with exit code 1: KeyError: 'b'"):
        simgrid_process.simulate([scenario])


@pytest.mark.usefixtures("no_interpreter_has_it")
def test_without_simgrid_the_command_says_how_to_get_it() -> None:
    """And that the committed scenarios need none."""
    with pytest.raises(InputError, match=r"no SimGrid for .* `apt-get install python3-simgrid`"):
        simulators(simgrid=5)


@pytest.mark.parametrize(
    ("count", "seed", "said"),
    [(0, 0, "--simgrid is 0, expected 1"), (-2, 0, "--simgrid is -2"), (5, -1, "--seed is -1")],
)
def test_numbers_that_make_no_sense_are_refused(count: int, seed: int, said: str) -> None:
    """With the option's name."""
    with pytest.raises(InputError, match=said):
        simulators(simgrid=count, seed=seed)


def test_fresh_scenarios_depend_on_their_seed_alone() -> None:
    """Neither on how many there are, nor on the time."""
    assert fresh(12, seed=7)[:6] == fresh(6, seed=7)
    assert fresh(6, seed=7) != fresh(6, seed=8)


@pytest.mark.parametrize("kind", range(len(KINDS)), ids=[kind.__name__ for kind in KINDS])
def test_fresh_scenarios_have_the_sizes_of_the_committed_ones(kind: int) -> None:
    """Within their bounds, and near both ends of them; starts are staggered, sizes whole bytes."""
    drawn = fresh(300, seed=1)[kind :: len(KINDS)]
    flows = [flow for scenario in drawn for flow in scenario.flows]
    assert {min(len(s.flows) for s in drawn), max(len(s.flows) for s in drawn)} <= {2, 3, 63, 64}
    assert all(1 <= len(scenario.links) <= 20 for scenario in drawn)
    assert all(1 <= len(flow.route) == len(set(flow.route)) <= 5 for flow in flows)
    assert all(set(flow.route) <= set(s.links) for s in drawn for flow in s.flows)
    assert len({flow.start_s for flow in flows}) > 100
    assert any(flow.start_s == 0 for flow in flows)
    assert all(flow.nbytes == int(flow.nbytes) > 0 for flow in flows)
