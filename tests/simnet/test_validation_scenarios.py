"""Named contention scenarios against an independent oracle, and tables that will not do."""

from __future__ import annotations

from pathlib import Path

import pytest

from simnet.validation.scenario import Change, compare, play
from simnet.validation.scenarios import FLOWS, LINKS, load
from simnet.validation.suites import DATA, Scenarios
from traces.errors import InputError

FLOW_LINES = """\
scenario,flow,start_s,bytes,route,path_latency_s,simgrid_completion_s,oracle_completion_s,note
late,f0,0.5,16,a|b,0.25,2.75,2.75,latency and then 2 s
faster,f0,0,12,a,0,1.5,1.25,twice as fast after 1 s
"""
LINK_LINES = """\
scenario,link,capacity_Bps,latency_s,capacity_changes
late,a,8,0.25,
late,b,80,0,
faster,a,8,0,1:16;3:8
"""


def written(folder: Path, flows: str = FLOW_LINES, links: str = LINK_LINES) -> Path:
    """A folder with both tables."""
    (folder / FLOWS).write_text(flows)
    (folder / LINKS).write_text(links)
    return folder


def test_sharing_agrees_with_the_oracle() -> None:
    """On each of 413 flows in 42 scenarios, with latencies and links that change."""
    result = Scenarios().run()
    assert (result.cases, result.flows, len(result.compared)) == (42, 413, 413)
    assert result.max_error <= 1e-14
    assert result.passed


def test_simgrid_differs_only_where_a_link_becomes_faster_than_it_was() -> None:
    """It says so by name and why; everywhere else its ends are ours too."""
    result = Scenarios().run()
    assert result.more["simgrid_differs"] == [
        "33_cap_change",
        "39_cap_rise_single",
        "41_cap_rise_then_new_flow",
    ]
    faster = {
        case.name
        for case, _, _ in load(DATA)
        for change in case.scenario.changes
        if change.rate_bps > case.scenario.links[change.link]
    }
    assert sorted(faster) == result.more["simgrid_differs"]
    assert len(result.notes) == 4
    assert all("had when it started" in note for note in result.notes)


def test_scenarios_by_hand(tmp_path: Path) -> None:
    """A route of two links with a latency, and a link that doubles its rate under way."""
    late, faster = load(written(tmp_path))
    assert late.case.scenario.links == {"a": 64.0, "b": 640.0}
    assert play(late.case.scenario) == [2.75]
    assert faster.case.scenario.changes == (Change(1, "a", 128.0), Change(3, "a", 64.0))
    assert [row.error for row in compare([late.case, faster.case])] == [0, 0]
    assert faster.simgrid_s == (1.5,)
    assert faster.note == "twice as fast after 1 s"


@pytest.mark.parametrize(
    ("what", "instead", "said"),
    [
        (",route,", ",way,", "line 1: the column 'route' is missing"),
        ("late,f0", ",f0", "line 2: scenario is empty"),
        ("0.5,16", "soon,16", "line 2: start_s is 'soon', expected a number"),
        ("0.5,16", "-1,16", "line 2: start_s is -1.0, expected 0 or more"),
        ("0.5,16", "0.5,nan", "line 2: bytes is nan, expected 0 or more"),
        ("0.5,16", "0.5,1e99", "line 2: bytes is 1e+99, expected 0 or more, at most 1e+30"),
        ("a|b", "a|c", "line 2: route names 'c', which is not among the scenario's links; add"),
        ("faster,f0,0", "faster,f0,2", "line 3: oracle_completion_s is 1.25, before start_s, 2.0"),
        ("faster,f0", "slower,f0", "line 3: route names 'a', which is not among"),
        (",1.5,1.25,twice as fast after 1 s", "", "line 3: simgrid_completion_s is '', expected"),
        (FLOW_LINES.partition("\n")[2], "", "expected at least one scenario below the header"),
    ],
)
def test_a_flow_that_makes_no_sense_is_named(
    tmp_path: Path, what: str, instead: str, said: str
) -> None:
    """With the file, the line and the column."""
    folder = written(tmp_path, flows=FLOW_LINES.replace(what, instead))
    with pytest.raises(InputError) as failure:
        load(folder)
    assert str(failure.value).startswith(f"{folder / FLOWS}: {said}")


@pytest.mark.parametrize(
    ("what", "instead", "said"),
    [
        ("capacity_changes", "changes", "line 1: the column 'capacity_changes' is missing"),
        ("late,b", "late,a", "line 3: late has a link 'a' already; rename one"),
        ("late,b", "late,", "line 3: link is empty"),
        (",80,", ",0,", "line 3: capacity_Bps is 0, expected bytes per second"),
        (",80,", ",1GB/s,", "line 3: capacity_Bps is '1GB/s', expected a number"),
        ("1:16;", "16;", "line 4: capacity_changes has '16', expected time:rate"),
        ("1:16;", "1:0;", "line 4: capacity_changes is 0, expected bytes per second"),
        ("1:16;", "x:16;", "line 4: capacity_changes is 'x', expected a number"),
    ],
)
def test_a_link_that_makes_no_sense_is_named(
    tmp_path: Path, what: str, instead: str, said: str
) -> None:
    """With the file, the line and the column."""
    folder = written(tmp_path, links=LINK_LINES.replace(what, instead))
    with pytest.raises(InputError) as failure:
        load(folder)
    assert str(failure.value).startswith(f"{folder / LINKS}: {said}")


def test_tables_that_are_not_there_or_no_text_are_input_errors(tmp_path: Path) -> None:
    """By name."""
    with pytest.raises(InputError, match=f"{tmp_path / LINKS}: cannot read scenarios"):
        load(tmp_path)
    written(tmp_path)
    (tmp_path / LINKS).write_bytes(LINK_LINES.encode("utf-16"))
    with pytest.raises(InputError, match=f"{tmp_path / LINKS}: expected CSV in UTF-8"):
        load(tmp_path)
