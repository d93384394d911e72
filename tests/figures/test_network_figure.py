"""Drawings of networks: everything that ranks may use is there, and says how fast it is."""

from __future__ import annotations

from pathlib import Path

import pytest
from matplotlib.text import Annotation

from figures import network as drawn
from simnet.cli import BAD_INPUT, OK, call
from simnet.network.graph import Graph
from simnet.network.link import Link
from simnet.network.machines import as_graph
from simnet.network.presets import network
from traces.errors import InputError


def labels(name: str, ranks: int) -> list[str]:
    """What is written into the drawing."""
    fig = drawn.draw(drawn.table(as_graph(network(name), ranks), ranks))
    return [text.get_text() for text in fig.axes[0].texts if text.get_text()]


def test_nodes_and_rates_are_named() -> None:
    """Equal links to one node share a label; ranks stand with their nodes."""
    written = labels("8x4090-pcie", 8)

    assert written.count("4 × 18.0 GB/s") == 2
    assert written.count("160 GB/s") == 2
    assert written.count("12.7 GB/s") == 1
    assert {"gpu0\nrank 0", "gpu7\nrank 7", "root0", "root1", "memory0"} <= set(written)


def test_a_node_with_a_capacity_says_so_and_a_link_without_a_limit_does_not() -> None:
    """A medium is drawn as what all ranks share."""
    written = labels("shared-bucket-16g", 3)

    assert written == ["rank0", "rank1", "rank2", "medium\nat most 2.00 GB/s"]


def test_the_table_has_a_row_for_each_link_that_the_ranks_may_use() -> None:
    """Fewer ranks than places leave links out; a switch with a capacity is a row too."""
    whole = drawn.table(as_graph(network("l20-pcie4"), 4), 4)
    part = drawn.table(as_graph(network("l20-pcie4"), 4), 2)

    assert list(whole) == list(drawn.COLUMNS)
    assert whole["link"].tolist() == ["slot0", "slot1", "slot2", "slot3", "root0"]
    assert part["link"].tolist() == ["slot0", "slot1", "root0"]
    assert whole["start_rank"].tolist() == [0, 1, 2, 3, drawn.NOBODY]


def test_many_ranks_are_still_beside_each_other() -> None:
    """In order, each in a place of its own; more than can be read are refused."""
    graph = as_graph(network("hosts-of-8-rdma-100g"), 48)
    fig = drawn.draw(drawn.table(graph, 48))
    notes = [text for text in fig.axes[0].texts if isinstance(text, Annotation)]
    places = {note.get_text(): note.xy[0] for note in notes if note.get_text()}
    xs = [places[f"rank{rank}"] for rank in range(48)]

    assert xs == sorted(set(xs))
    with pytest.raises(InputError, match="65 ranks are too many to draw; --ranks 64"):
        drawn.table(graph, 65)


def test_parallel_links_and_bridges_are_drawn() -> None:
    """Two links between the same nodes have one label, one between ranks has its own."""

    def link(name: str, start: str, end: str, rate_bps: float) -> Link:
        return Link(name, (start, end), rate_bps)

    sides = [link(f"{rank}-s", rank, "st"[rank in "cd"], 8e9) for rank in "abcd"]
    more = link("up-0", "s", "t", 16e9), link("up-1", "s", "t", 16e9), link("a-b", "a", "b", 24e9)
    graph = Graph("box", tuple("abcd"), (*sides, *more))
    fig = drawn.draw(drawn.table(graph, 4))
    written = [text.get_text() for text in fig.axes[0].texts]
    assert "2 × 2.00 GB/s" in written
    assert written.count("1.00 GB/s") == 4
    assert written.count("3.00 GB/s") == 1


def test_the_command_writes_the_drawing_and_refuses_another_format(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And prints its path last."""
    path = tmp_path / "net.svg"

    assert call(["show-network", "l20-pcie4", "--out", str(path)]) == OK
    assert capsys.readouterr().out.splitlines()[-1] == str(path)
    assert path.read_text().startswith("<?xml")
    assert call(["show-network", "l20-pcie4", "--out", str(tmp_path / "net.jpg")]) == BAD_INPUT
