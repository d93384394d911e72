"""Suites of other simulators' results, and what is said of a file that will not do."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from simnet.commands.validate import simulators
from simnet.validation.flows import load
from simnet.validation.scenario import LIMIT, compare, play
from simnet.validation.simgrid_process import interpreter
from simnet.validation.suites import DATA, Flows
from traces.errors import InputError, RunError

SIMGRID = DATA / "simgrid_flows.json"
Edit = Callable[[Any], None]

#: One flow has link a for half a second, both share it for one, the other has it for half a one.
SCENARIO: dict[str, Any] = {
    "seed": 7,
    "links": [{"name": "a", "rate_Bps": 8.0, "latency_s": 0.0}, {"name": "b", "rate_Bps": 80}],
    "flows": [
        {"src": "x", "dst": "y", "start_s": 0, "bytes": 8, "route": ["a", "b"], "finish_s": 1.5},
        {"start_s": 0.5, "bytes": 8, "route": ["b", "a"], "finish_s": 2.0},
    ],
}


def written(folder: Path, data: object) -> Path:
    """A file of this JSON."""
    path = folder / "flows.json"
    path.write_text(json.dumps(data))
    return path


def test_sharing_agrees_with_simgrid() -> None:
    """On each of 2,092 flows in 120 scenarios, relative to its duration."""
    result = Flows().run()
    assert (result.cases, result.flows, len(result.compared)) == (120, 2092, 2092)
    assert result.max_error <= LIMIT
    assert result.median_error <= 1e-15


def test_a_scenario_by_hand(tmp_path: Path) -> None:
    """One flow alone, then half each, then the other alone."""
    [case] = load(written(tmp_path, [SCENARIO]))
    assert play(case.scenario) == [1.5, 2.0]
    assert [row.error for row in compare([case])] == [0, 0]


def test_an_error_is_relative_to_the_flows_duration(tmp_path: Path) -> None:
    """0.25 s off of 2 s; a flow of no bytes that should not take any time is right."""
    data = copy.deepcopy(SCENARIO)
    data["flows"][1]["finish_s"] = 2.5
    data["flows"].append({"start_s": 1, "bytes": 0, "route": ["a"], "finish_s": 1})
    rows = compare(load(written(tmp_path, [SCENARIO, data])))
    assert [row.error for row in rows] == [0, 0, 0, 0.25, 0]
    [wrong] = [row for row in rows if row.error]
    assert (wrong.case, wrong.flow) == (f"{tmp_path / 'flows.json'}: scenario 1", 1)


def test_the_command_compares_with_all_that_comes_along(capsys: pytest.CaptureFixture[str]) -> None:
    """Without an option; per suite: cases, flows, the largest error and the median."""
    simulators(json=True)
    suites = json.loads(capsys.readouterr().out)["suites"]
    assert [(suite["suite"], suite["cases"], suite["flows"]) for suite in suites[:4]] == [
        ("flows", 120, 2092),
        ("scenarios", 42, 413),
        ("collectives", 720, None),
        ("collectives-stored", 720, None),
    ]
    assert [suite["suite"] for suite in suites[4:]] == ["simgrid"] * (interpreter() is not None)
    for suite in suites:
        errors = [suite["median_abs_error"], suite["p90_abs_error"], suite["max_relative_error"]]
        assert 0 <= errors[0] <= errors[1] <= errors[2] <= suite["limit"]
        assert suite["pass"]


def test_a_file_never_seen_before_is_a_suite_by_itself(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only what is named is compared."""
    simulators(flows=written(tmp_path, [SCENARIO]), json=True)
    [suite] = json.loads(capsys.readouterr().out)["suites"]
    assert suite == {
        "suite": "flows",
        "cases": 1,
        "flows": 2,
        "max_relative_error": 0,
        "median_abs_error": 0,
        "p90_abs_error": 0,
        "kendall_tau": None,
        "best_method_right": None,
        "limit": 1e-9,
        "pass": True,
    }


def test_the_command_prints_a_table_for_people(capsys: pytest.CaptureFixture[str]) -> None:
    """The same numbers, and where SimGrid itself differs from the oracle."""
    simulators()
    printed = capsys.readouterr().out
    assert "max. error" in printed
    assert " 2092 " in printed
    assert " 413 " in printed
    assert "39_cap_rise_single: flows[0] ends at 1 s in SimGrid, 0.75 s here: one flow" in printed


def test_disagreement_fails_and_names_the_flow(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """After the table has been printed."""
    data = copy.deepcopy(SCENARIO)
    data["flows"][1]["finish_s"] = 2.5
    with pytest.raises(RunError, match=r"scenario 1: flows\[1\] ends at 2.0 s, expected 2.5 s"):
        simulators(flows=written(tmp_path, [SCENARIO, data]), json=True)
    [suite] = json.loads(capsys.readouterr().out)["suites"]
    assert (suite["max_relative_error"], suite["pass"]) == (0.25, False)


ASTRA_SIM = """\
topology,npus,bandwidth_GBps,latency_ns,collective,algorithm,bytes_per_npu,time_ns
FullyConnected,4,1,0,all-gather,direct,1073741824,{together_ns}
Switch,4,1,0,all-gather,ring,1073741824,{stored_ns}
"""


def test_collectives_are_compared_where_both_models_mean_the_same(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """2^30 bytes on a link of 2^30 bytes/s; what a switch stores first is told apart."""
    path = tmp_path / "collectives.csv"
    path.write_text(ASTRA_SIM.format(together_ns=1e9, stored_ns=6e9))
    simulators(collectives=path, json=True)
    suites = json.loads(capsys.readouterr().out)["suites"]
    assert [suite["suite"] for suite in suites] == ["collectives", "collectives-stored"]
    for suite in suites:
        assert (suite["cases"], suite["flows"]) == (1, None)
        assert suite["max_relative_error"] == pytest.approx(0, abs=1e-12)


def test_a_formula_that_does_not_hold_fails(tmp_path: Path) -> None:
    """What is stored at the switch takes twice as long, not three times."""
    path = tmp_path / "collectives.csv"
    path.write_text(ASTRA_SIM.format(together_ns=1e9, stored_ns=9e9))
    with pytest.raises(RunError, match=r"line 3: all_gather takes 6.0 s, expected 9.0 s"):
        simulators(collectives=path)


def test_every_suite_that_disagrees_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A collective by its line, beside a flow."""
    path = tmp_path / "collectives.csv"
    path.write_text(ASTRA_SIM.format(together_ns=0.8e9, stored_ns=6e9))
    data = copy.deepcopy(SCENARIO)
    data["flows"][1]["finish_s"] = 2.5
    with pytest.raises(RunError) as failure:
        simulators(flows=written(tmp_path, [data]), collectives=path)
    assert re.search(r"scenario 0: flows\[1\] .*, at most 1e-09; ", str(failure.value))
    assert re.search(r"collectives.csv: line 2: all_gather takes 1.0 s", str(failure.value))
    assert "an error of 2.5e-01 of that, at most 0.01" in str(failure.value)
    printed = capsys.readouterr().out
    assert printed.count(" 2.5e-01 ") >= 2
    assert printed.count(" no ") == 2


def test_a_file_without_anything_comparable_has_no_cases(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And so no error."""
    path = tmp_path / "collectives.csv"
    text = ASTRA_SIM.format(together_ns=1e9, stored_ns=6e9).splitlines()
    path.write_text("\n".join([text[0], text[2]]))
    simulators(collectives=path, json=True)
    suite, _ = json.loads(capsys.readouterr().out)["suites"]
    assert (suite["cases"], suite["max_relative_error"], suite["pass"]) == (0, 0, True)


def put(*keys: str | int, value: object) -> Edit:
    """Set what is found under these keys."""

    def edit(data: Any) -> None:
        for key in keys[:-1]:
            data = data[key]
        data[keys[-1]] = value

    return edit


def drop(*keys: str | int) -> Edit:
    """Take away what is found under these keys."""

    def edit(data: Any) -> None:
        for key in keys[:-1]:
            data = data[key]
        del data[keys[-1]]

    return edit


@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (drop("links"), "scenario 1: the key 'links' is missing"),
        (put("links", value=[]), "scenario 1: links is empty or no list"),
        (put("links", 0, value="a"), "links[0]: expected an object with the keys name, rate_Bps"),
        (drop("links", 0, "rate_Bps"), "links[0]: the key 'rate_Bps' is missing"),
        (put("links", 0, "latency", value=1), "links[0]: unknown key 'latency'; known are"),
        (put("links", 0, "name", value=3), "links[0]: name is 3, expected text"),
        (put("links", 1, "name", value="a"), "links[1]: name is 'a', as of links[0]; rename"),
        (put("links", 0, "rate_Bps", value="1GB/s"), "rate_Bps is '1GB/s', expected a number"),
        (put("links", 0, "rate_Bps", value=True), "rate_Bps is True, expected a number"),
        (put("links", 0, "rate_Bps", value=0), "rate_Bps is 0.0, expected bytes per second, > 0"),
        (put("links", 0, "rate_Bps", value=1e-99), "rate_Bps is 1e-99, expected bytes per second"),
        (put("links", 0, "rate_Bps", value=1e99), "rate_Bps is 1e+99, expected a finite number"),
        (put("links", 0, "rate_Bps", value=1e999), "rate_Bps is inf, expected a finite number"),
        (put("links", 0, "rate_Bps", value=10**999), "rate_Bps is inf, expected a finite number"),
        (put("links", 0, "latency_s", value=1e-6), "links[0]: latency_s is 1e-06, expected 0"),
        (put("flows", value=None), "scenario 1: flows is empty or no list"),
        (drop("flows", 1, "finish_s"), "flows[1]: the key 'finish_s' is missing"),
        (put("flows", 1, "weight", value=2), "flows[1]: unknown key 'weight'"),
        (put("flows", 1, "start_s", value=-1), "flows[1]: start_s is -1, expected 0 or more"),
        (put("flows", 1, "bytes", value=-8), "flows[1]: bytes is -8, expected 0 or more"),
        (put("flows", 1, "bytes", value=float("nan")), "bytes is nan, expected a finite number"),
        (put("flows", 1, "finish_s", value=0.25), "finish_s is 0.25, before start_s, 0.5"),
        (put("flows", 1, "finish_s", value=None), "finish_s is None, expected a number"),
        (put("flows", 1, "route", value=[]), "flows[1]: route is [], expected a list"),
        (put("flows", 1, "route", value="a"), "flows[1]: route is 'a', expected a list"),
        (put("flows", 1, "route", value=["c"]), "flows[1]: route names 'c', which is not among"),
        (put("flows", 1, "route", value=[["a"]]), "flows[1]: route names ['a'], which is not"),
    ],
)
def test_a_field_that_makes_no_sense_is_named(tmp_path: Path, edit: Edit, said: str) -> None:
    """With the file, the scenario, and what was expected."""
    data = copy.deepcopy(SCENARIO)
    edit(data)
    path = written(tmp_path, [SCENARIO, data])
    with pytest.raises(InputError) as failure:
        load(path)
    assert str(failure.value).startswith(f"{path}: scenario 1: ")
    assert said in str(failure.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "expected the JSON of scenarios"),
        (b"[1,", "expected the JSON of scenarios"),
        (b"\xff\xfe\x00", "expected the JSON of scenarios"),
        (b"[" * 100_000, "expected the JSON of scenarios"),
        (b"{}", "expected a list of at least one scenario"),
        (b"[]", "expected a list of at least one scenario"),
        (b"[1]", "scenario 0: expected an object with the keys links, flows"),
    ],
)
def test_a_file_of_something_else_is_refused(tmp_path: Path, content: bytes, said: str) -> None:
    """By name."""
    path = tmp_path / "flows.json"
    path.write_bytes(content)
    with pytest.raises(InputError, match=f"{path}: {said}"):
        load(path)


def test_a_file_that_is_not_there_is_an_input_error(tmp_path: Path) -> None:
    """As is a folder in its place."""
    for path in (tmp_path / "nix.json", tmp_path):
        with pytest.raises(InputError, match=f"{path}: cannot read scenarios"):
            load(path)
