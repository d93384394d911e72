"""`thinwire show-network`: the drawing, the links and the routes of a network, as text and JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from simnet.cli import BAD_INPUT, OK, call

TWO_SOCKETS = str(Path(__file__).resolve().parents[2] / "examples/networks/two-sockets.toml")
Capture = pytest.CaptureFixture[str]


def shown(capsys: Capture, *arguments: str) -> str:
    """What is printed."""
    assert call(["show-network", *arguments]) == OK
    return capsys.readouterr().out


def as_json(capsys: Capture, *arguments: str) -> dict[str, Any]:
    """The same as JSON."""
    value: dict[str, Any] = json.loads(shown(capsys, *arguments, "--json"))
    return value


def test_a_machine_is_drawn_as_a_tree(capsys: Capture) -> None:
    """With ranks, rates and links' names."""
    tree = """
root0, at most 56.0 GB/s in all
├── gpu0 = rank 0  [24.0 GB/s each way] slot0
├── gpu1 = rank 1  [24.0 GB/s each way] slot1
├── gpu2 = rank 2  [24.0 GB/s each way] slot2
└── gpu3 = rank 3  [24.0 GB/s each way] slot3
"""
    assert tree in shown(capsys, "l20-pcie4")


def test_links_that_no_tree_can_show_stand_below_it(capsys: Capture) -> None:
    """And are in the table like all others."""
    text = shown(capsys, TWO_SOCKETS)

    assert "besides, bridge: gpu0 and gpu1  [50.0 GB/s each way]" in text
    assert text.count("bridge") == 2


def test_routes_that_cost_the_same_are_one_line(capsys: Capture) -> None:
    """With an example."""
    text = shown(capsys, TWO_SOCKETS)

    assert " 0-2 0-3 1-2 1-3 " in text
    assert "gpu0 > root0 > memory0 > root0 > root1 > gpu2" in text
    assert "gpu0 > gpu1 " in text


def test_one_route_is_shown_hop_by_hop(capsys: Capture) -> None:
    """By the names that conditions use."""
    links, _, text = shown(capsys, "8x4090-pcie", "--route", "0,5").partition("0→5, hop by hop")
    hops = ("slot0 >", "channels0", "across >", "slot5 <")

    assert links
    assert [text.count(f" {hop} ") for hop in hops] == [1, 2, 1, 1]


def test_of_many_ranks_only_the_first_one_s_routes_are_shown(capsys: Capture) -> None:
    """And leaves that are alike are one line of the tree."""
    text = shown(capsys, "ethernet-1g", "--ranks", "100")

    assert "├── " not in text
    assert "rank0 to rank99, 100 in all  [118 MB/s each way] link0 to link99" in text
    assert "routes of rank 0; --route 3,5 shows another one" in text
    assert "0→1 0→2 " in text
    assert "and 71 more" in text


_LINK = {
    "name": "slot1",
    "from": "gpu1",
    "to": "root0",
    "rate_bps": 192e9,
    "latency_s": 2.85e-6,
    "message_s": 0.0,
    "ready_s": 0.0,
    "efficiency": 1.0,
    "flow_bps": "inf",
    "pcie": True,
    "duplex": "full",
}


def test_json_has_plain_numbers(capsys: Capture) -> None:
    """Of links and of every route."""
    value = as_json(capsys, "l20-pcie4")

    assert (value["network"], value["ranks"], value["places"]) == ("l20-pcie4", 4, 4)
    link = value["links"][1]
    assert {key: link[key] for key in _LINK} == _LINK
    assert (link["burst_bytes"], link["acks"], link["queue_bytes"]) == (0, 0, 0)
    assert value["switches"] == [{"name": "root0", "rate_bps": 448e9, "latency_s": 0.0}]
    assert len(value["routes"]) == 12
    hops = [(hop["name"], hop["rate_bps"]) for hop in value["routes"][0]["hops"][:2]]
    assert hops == [("slot0 >", 192e9), ("root0", 448e9)]
    assert value["routes"][0]["nodes"] == ["gpu0", "root0", "gpu1"]
    assert "CompactFusion" in value["source"]["machine"]


BOX = """
[links]
rate = "1Gbit/s"
[source]
sizes = [1, 2.5]
checked = true
fits = [{ rate = 0.1 }, { rate = 0.2, latency = 3 }]
[source.spread]
rate = 0.1
[[straggler]]
rank = 6
slowdown = 2.0
[[outage]]
hops = ["rank 6 in", "rank 6 out"]
from = "2s"
to = "3s"
"""


def test_conditions_are_shown_with_where_and_when(capsys: Capture, tmp_path: Path) -> None:
    """A line each; and all of their numbers in the JSON."""
    path = tmp_path / "box.toml"
    path.write_text(BOX)

    text = shown(capsys, str(path))
    assert "conditions:\n  computes of rank 6 take 2 times as long\n" in text
    assert "\n  outage of rank 6 in, rank 6 out, from 2.00 s to 3.00 s\n" in text
    conditions = as_json(capsys, str(path))["conditions"]
    assert conditions["degradations"] == [
        {
            "hops": ["rank 6 in", "rank 6 out"],
            "factor": 0.0,
            "spells": {"from_s": 2.0, "to_s": 3.0},
            "where": f"{path}: outage[0]",
        }
    ]
    assert as_json(capsys, "pcie-4")["conditions"] is None


def test_sources_are_shown_as_people_write(capsys: Capture, tmp_path: Path) -> None:
    """Lists and tables without brackets and quotes."""
    path = tmp_path / "box.toml"
    path.write_text(BOX)

    text = shown(capsys, str(path))
    assert "sizes: 1, 2.5\nchecked: true\nfits: rate 0.1; rate 0.2, latency 3\n" in text
    assert "\nspread.rate: 0.1\n" in text


def test_a_hop_that_is_not_there_is_refused_with_its_table(capsys: Capture, tmp_path: Path) -> None:
    """Before anybody waits for a prediction."""
    path = tmp_path / "box.toml"
    path.write_text(BOX.replace("rank 6 in", "rnk 6 in"))

    assert call(["show-network", str(path)]) == BAD_INPUT
    assert f"{path}: outage[0]: unknown hop" in capsys.readouterr().err


def test_any_number_of_ranks_is_written_as_inf(capsys: Capture) -> None:
    """JSON knows no infinity."""
    value = as_json(capsys, "shared-bucket-16g", "--ranks", "2", "--route", "1,0")

    assert value["places"] == "inf"
    assert [(way["src"], way["dst"], way["rate_bps"]) for way in value["routes"]] == [(1, 0, 16e9)]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["pcie4"], "unknown network 'pcie4': did you mean 'pcie-4'"),
        (["no.toml"], "no.toml: cannot be read"),
        (["pcie-4", "--ranks", "0"], "--ranks is 0, expected 1 or more"),
        (["l20-pcie4", "--ranks", "5"], "has places for 4 ranks, and none for rank 4"),
        (["l20-pcie4", "--route", "0"], "--route '0': expected two ranks, such as 0,5"),
        (["l20-pcie4", "--route", "0,4"], "expected two different ranks below 4"),
        (["l20-pcie4", "--route", "2,2"], "expected two different ranks below 4"),
    ],
)
def test_what_cannot_be_shown_is_refused(
    arguments: list[str], message: str, capsys: Capture
) -> None:
    """With what would do."""
    assert call(["show-network", *arguments]) == BAD_INPUT
    assert message in capsys.readouterr().err
