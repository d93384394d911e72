"""Graphs on disk, as tables, and by the command."""

from __future__ import annotations

import json
import resource
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from simnet.cli import BAD_INPUT, OK, call
from simnet.lowering.graph import Graph
from simnet.lowering.simulate import simulate_graph
from simnet.lowering.store import load, save
from simnet.lowering.tables import by_step, difference, first_unlike, operations, summary
from simnet.network.topology import Links
from traces.errors import InputError, RunError

Lower = Callable[..., Graph]


@pytest.mark.parametrize(
    ("text", "model"),
    [("ring/residual-1bit", "dit-tiny"), ("pipefusion", "dit-tiny"), ("dice", "dit-moe-tiny")],
)
def test_a_graph_comes_back_as_it_was_saved(
    text: str, model: str, small: Lower, tmp_path: Path
) -> None:
    """With all calls, groups and parts; and is written the same each time."""
    graph = small(text, model=model)
    save(graph, tmp_path / "a.graph")
    save(graph, tmp_path / "b.graph")
    again = load(tmp_path / "a.graph")
    assert again.same(graph)
    assert again.origin == graph.origin
    assert (tmp_path / "a.graph").read_bytes() == (tmp_path / "b.graph").read_bytes()


def test_a_graph_that_cannot_be_written_leaves_no_file(small: Lower, tmp_path: Path) -> None:
    """With what the system says, as of a disk that is full."""
    graph = small("ring")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (500, before[1]))
    try:
        with pytest.raises(RunError, match=r"a\.graph: cannot be written: File too large"):
            save(graph, tmp_path / "a.graph")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not list(tmp_path.iterdir())


def _spoilt(graph: Graph, path: Path, column: str, values: list[int]) -> Path:
    """A file with some other numbers at the head of a column."""
    save(graph, path)
    columns = load_file(path)
    from safetensors import safe_open

    with safe_open(path, "numpy") as file:
        metadata = file.metadata()
    columns[column][: len(values)] = values
    save_file(columns, path, metadata=metadata)
    return path


@pytest.mark.parametrize(
    ("column", "values", "said"),
    [
        ("first", [1], "do not follow one another"),
        ("first", [0, 60, 50], "do not follow one another"),
        ("kind", [7], "of no kind"),
        ("kind", [1], "refers to something"),
        ("what", [99], "refers to something"),
        ("step", [3], "in none of its 3 steps"),
    ],
)
def test_damaged_columns_are_found(
    column: str, values: list[int], said: str, small: Lower, tmp_path: Path
) -> None:
    """With the file's name."""
    path = _spoilt(small("ring"), tmp_path / "x.graph", column, values)
    with pytest.raises(InputError, match=rf"x\.graph: .*{said}"):
        load(path)


def test_other_files_are_no_graphs(small: Lower, tmp_path: Path) -> None:
    """None, nonsense, other tensors, another version, a header that lacks something."""
    with pytest.raises(InputError, match="no such file"):
        load(tmp_path / "none.graph")
    (tmp_path / "text").write_text("nonsense")
    with pytest.raises(InputError, match="is no operation graph"):
        load(tmp_path / "text")
    save_file({"x": np.zeros(3)}, tmp_path / "other")
    with pytest.raises(InputError, match="some other safetensors file"):
        load(tmp_path / "other")
    save(small("ring"), tmp_path / "x.graph")
    columns = load_file(tmp_path / "x.graph")
    for header, said in (
        ({"schema": 2}, "reads 1"),
        ({"schema": 1}, "is damaged"),
        ([], "damaged"),
    ):
        save_file(columns, tmp_path / "x.graph", metadata={"thinwire_graph": json.dumps(header)})
        with pytest.raises(InputError, match=said):
            load(tmp_path / "x.graph")


def test_operations_are_those_of_a_trace(small: Lower) -> None:
    """The columns that have no times in them."""
    graph = small("pipefusion", model="skipdit-tiny")
    trace = simulate_graph(graph, [0.0] * len(graph.calls), Links("x", 1e9)).ops
    table = operations(graph)
    for name in ("rank", "seq", "kind", "name", "step", "layer", "stream", "bytes", "waits_for"):
        assert table[name].tolist() == trace[name].tolist(), name
    calls = table["kind"] != "wait"
    assert table["shape"][calls].tolist() == trace["shape"][calls].tolist()


def test_summaries_add_up(small: Lower) -> None:
    """Operations and bytes of all ranks are those of all steps."""
    graph = small("ring")
    whole, steps = summary(graph), by_step(graph)
    assert whole["operations"].sum() == len(graph)
    assert steps[["compute", "wait", "transfer"]].to_numpy().sum() == len(graph)
    assert whole["bytes"].sum() == steps["bytes"].sum() > 0


def test_differences_are_counted_and_placed(small: Lower) -> None:
    """Of the same graph there are none; of a codec, its computes and fewer bytes."""
    plain, coded = small("ring"), small("ring/int8")
    assert difference(plain, plain).empty
    assert first_unlike(plain, plain).empty
    unlike = difference(plain, coded)
    shift = unlike[(unlike["kind"] == "shift") & (unlike["rank"] == 0)].iloc[0]
    assert shift["operations_a"] == shift["operations_b"]
    assert shift["bytes_a"] > shift["bytes_b"] > 0
    assert any(name.startswith("encode int8") for name in unlike["name"])
    first = first_unlike(plain, coded)
    assert first["graph"].tolist() == ["a", "b"] * 4
    assert first["kind"].tolist()[:2] == ["shift", "compute"]


def test_graphs_of_other_ranks_differ_in_all(small: Lower) -> None:
    """Numbers are of all ranks together, and there is no first place."""
    two, four = small("ring", ranks=2), small("ring", ranks=4)
    assert "rank" not in difference(two, four).columns
    with pytest.raises(InputError, match="one graph has 2 ranks, the other 4"):
        first_unlike(two, four)


def test_the_command_lowers_shows_and_compares(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """From a schedule to a file, and what two of them do differently."""
    ring, ulysses = str(tmp_path / "ring.graph"), str(tmp_path / "ulysses.graph")
    lower = ["graph", "--model", "dit-tiny", "--ranks", "2", "--steps", "2"]
    assert call([*lower, "--schedule", "ring", "--out", ring]) == OK
    assert call([*lower, "--schedule", "ulysses", "--codec", "int8", "--gpu", "-o", ulysses]) == OK
    lowered = capsys.readouterr().out
    assert "ring of dit-tiny (bfloat16), 2 ranks, 2 steps" in lowered
    assert call(["graph", ring]) == OK
    assert lowered.startswith(capsys.readouterr().out)
    assert call(["graph", ring, ulysses]) == OK
    compared = capsys.readouterr().out
    assert "attend_more" in compared
    assert "where each rank first does something else" in compared
    assert call(["graph", ring, ring]) == OK
    assert "the same operations in the same order" in capsys.readouterr().out


def test_the_command_prints_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Plain numbers."""
    ring = str(tmp_path / "ring.graph")
    lower = ["graph", "--model", "dit-tiny", "--ranks", "2", "--steps", "2", "-o", ring, "--json"]
    assert call(lower) == OK
    shown = json.loads(capsys.readouterr().out)
    assert (shown["operations"], shown["calls"], shown["ranks"]) == (160, 8, 2)
    assert {row["step"] for row in shown["steps_have"]} == {0, 1}
    assert call(["graph", ring, ring, "--json"]) == OK
    assert json.loads(capsys.readouterr().out) == {"differences": [], "first_unlike": []}


def test_the_command_refuses_too_many_files(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And a place to write what is there already."""
    names = [str(tmp_path / name) for name in "abc"]
    assert call(["graph", *names]) == BAD_INPUT
    assert "3 graphs; expected none, one or two" in capsys.readouterr().err
    assert call(["graph", names[0], "--out", names[1]]) == BAD_INPUT
    assert "--out is for a graph that is lowered" in capsys.readouterr().err
