"""Traces become Chakra files and come back; those of others become traces."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from traces.chakra import wire
from traces.chakra.messages import COMM_TYPES, File, Node, NodeType, metadata, put
from traces.chakra.writing import ROW, groups_path, write
from traces.errors import InputError, TraceError
from traces.imports.formats import read
from traces.operation import Operation, table
from traces.run import Run
from traces.trace import Trace

Written = Callable[..., Path]


@pytest.fixture
def written(tmp_path: Path) -> Written:
    """Writes nodes as a rank's file."""

    def to_file(nodes: Sequence[Node], name: str = "own.0.et") -> Path:
        with (tmp_path / name).open("wb") as file:
            put(file, metadata({}))
            for node in nodes:
                put(file, node.encoded())
        return tmp_path / name

    return to_file


def coll(key: int, kind: str, *deps: int, size: int = 100, **attrs: str | int) -> Node:
    """A collective."""
    node = Node(key, kind, NodeType.COMM_COLL, deps)
    node.attrs = {"comm_type": COMM_TYPES[kind], "comm_size": size, **attrs}
    return node


def comp(key: int, *deps: int, us: int = 10) -> Node:
    """A compute."""
    return Node(key, f"compute {key}", NodeType.COMP, deps, duration_us=us)


@given(value=st.integers(0, 2**64 - 1), number=st.integers(1, 2**20), text=st.binary())
def test_what_is_written_on_the_wire_is_read_back(value: int, number: int, text: bytes) -> None:
    """Numbers, bytes and lists of numbers."""
    data = wire.put_number(number, value) + wire.put_bytes(number, text)
    one, other = wire.fields(data + wire.put_packed(1, []))
    assert (one.number, one.value, other.value) == (number, value, text)
    (packed,) = wire.fields(wire.put_packed(number, [value, 0, value]))
    assert list(wire.packed(packed)) == [value, 0, value]


@given(value=st.integers(-(2**63), 2**63 - 1))
def test_negative_numbers_take_all_bits(value: int) -> None:
    """As int64, and zigzag as sint64."""
    (field,) = wire.fields(wire.put_number(1, value))
    assert isinstance(field.value, int)
    assert wire.signed(field.value) == value
    assert wire.zigzag((value << 1) ^ (value >> 63)) == value


def test_a_trace_goes_there_and_back_unchanged(whole: Trace, tmp_path: Path) -> None:
    """Every column, and the header; written twice, the same bytes."""
    paths = write(whole, tmp_path / "T.et")
    first = [path.read_bytes() for path in paths]

    again = read(paths)

    assert [path.name for path in paths] == ["T.0.et", "T.1.et"]
    pd.testing.assert_frame_equal(again.ops, whole.ops)
    assert again.run == whole.run
    assert [path.read_bytes() for path in write(again, tmp_path / "T.et")] == first


def test_the_nodes_say_what_a_simulator_needs(whole: Trace, tmp_path: Path) -> None:
    """Dependencies lead backwards; waits depend on transfers; sizes and tags fit each other."""
    nodes = [list(File(path).nodes()) for path in write(whole, tmp_path / "T.et")]
    for rank, mine in enumerate(nodes):
        seen: dict[int, Node] = {}
        for node in mine:
            assert set(node.deps) <= set(seen)
            seen[node.id] = node
            if node.name.startswith("wait for"):
                assert any(seen[dep].type >= NodeType.COMM_SEND for dep in node.deps)
        computed_s = whole.ops.loc[whole.ops["rank"] == rank, "cost_s"].sum()
        lasting = [n for n in mine if n.type == NodeType.COMP and not n.attrs["is_cpu_op"]]
        assert sum(node.duration_us for node in lasting) == pytest.approx(computed_s * 1e6, abs=1)
    keys = ("comm_src", "comm_dst", "comm_tag", "comm_size")
    sent, received = (
        sorted(tuple(n.attrs[k] for k in keys) for mine in nodes for n in mine if n.type == kind)
        for kind in (NodeType.COMM_SEND, NodeType.COMM_RECV)
    )
    assert len(sent) == 6
    assert sent == received


def test_groups_and_sizes_that_differ_are_written_for_all_members(tmp_path: Path) -> None:
    """A file lists the groups; an all-to-all of unlike sizes has that of the largest."""
    rows = [
        Operation(rank, 0, "pair", "all_to_all", "x", 0, -1, 0.0, 1.0, group=group)
        for rank, group in ((0, "0,2"), (1, "1"), (2, "0,2"))
    ]
    rows[0].bytes, rows[2].bytes = 8, 24
    trace = Trace(Run("tiny", "none", 3, 1, "simulated", "toy", "wire"), table(rows))

    paths = write(trace, tmp_path / "T.et")

    assert paths[-1] == groups_path(tmp_path / "T.et") == tmp_path / "T.groups.json"
    assert json.loads(paths[-1].read_text()) == {"1": [0, 2], "2": [1]}
    nodes = [next(File(path).nodes()) for path in paths[:-1]]
    assert [node.attrs.get("pg_name") for node in nodes] == ["1", "2", "1"]
    assert [node.attrs["comm_size"] for node in nodes] == [24, 0, 24]
    assert read(paths).ops["bytes"].tolist() == [8, 0, 24]


def test_a_graph_of_others_becomes_rows_in_an_order_that_it_allows(written: Written) -> None:
    """The first node that needs a transfer waits for it; one that queues behind it does not."""
    nodes = [
        comp(5, 2, 3),
        coll(2, "all_gather", 1),
        coll(3, "all_gather", 2, 1),
        comp(4, 1, us=7),
        comp(1),
    ]
    ops = read([written(nodes)]).ops

    assert ops["name"].tolist() == [
        *("compute 1", "all_gather", "all_gather", "compute 4"),
        *("all_gather", "all_gather", "compute 5"),
    ]
    assert ops["waits_for"].tolist() == [-1, -1, -1, -1, 1, 2, -1]
    assert (ops["end_s"].iloc[-1] * 1e6) == pytest.approx(27)


def test_messages_groups_and_roots_of_others_are_understood(
    written: Written, tmp_path: Path
) -> None:
    """With the JSON file that says who is in which group; a root that is not told is said."""
    message = Node(1, "x", NodeType.COMM_SEND)
    message.attrs = {"comm_size": 8, "comm_src": 0, "comm_dst": 2}
    other = Node(1, "x", NodeType.COMM_RECV)
    other.attrs = {"comm_size": 8, "comm_src": 0, "comm_dst": 2}
    pair = coll(2, "broadcast", 1, pg_name="7")
    files = [
        written([message, pair]),
        written([comp(1)], "own.1.et"),
        written([other, pair], "own.2.et"),
    ]
    groups = tmp_path / "groups.json"
    groups.write_text('{"7": [0, 2]}')

    trace = read([*files, groups])

    ops = trace.ops[trace.ops["stream"] != "compute"]
    assert ops["group"].tolist() == ["0,1,2", "0,2"] * 2
    assert ops[["dst", "src"]].to_numpy().tolist() == [[2, -1], [-1, 0], [-1, 0], [-1, 0]]
    assert ops["bytes"].tolist() == [8, 100, 0, 100]
    assert any("which rank is the root of 1 collectives" in line for line in trace.problems)
    with pytest.raises(TraceError, match="communicator '7' are not known"):
        read(files)


@pytest.mark.parametrize(
    ("nodes", "message"),
    [
        ([comp(1, 2), comp(2, 1)], "in a circle, node 1 among them"),
        ([comp(1, 1)], "in a circle"),
        ([comp(1, 9)], "node 1 depends on node 9, which there is not"),
        ([comp(1), comp(1)], "two nodes of id 1"),
        ([coll(1, "all_gather", size=-1)], "comm_size is -1"),
        ([coll(1, "all_gather", size=2**62)], "comm_size is 4611686018427387904"),
        ([replace(comp(1), type=NodeType.COMM_SEND)], "comm_dst is None"),
        ([replace(comp(1), type=NodeType.COMM_COLL)], "comm_type is None"),
    ],
)
def test_a_graph_that_makes_no_sense_is_refused(
    written: Written, nodes: Sequence[Node], message: str
) -> None:
    """Naming the file and the node."""
    with pytest.raises(TraceError, match=rf"own\.0\.et.*{message}"):
        read([written(nodes)])


def test_files_of_two_ranks_that_were_swapped_are_refused(whole: Trace, tmp_path: Path) -> None:
    """By their names, or by the order in which they are given."""
    first, second = write(whole, tmp_path / "T.et")
    with pytest.raises(TraceError, match="was written as that of rank 1, but is named or given"):
        read([second, first], in_order=True)
    assert read([second, first]).run == whole.run
    first.rename(tmp_path / "T.1.et")
    with pytest.raises(TraceError, match=r"T\.1\.et: was written as that of rank 0"):
        read([tmp_path / "T.1.et"])


def test_files_of_different_traces_are_not_mixed(
    whole: Trace, written: Written, tmp_path: Path
) -> None:
    """Their headers tell."""
    first = write(whole, tmp_path / "A.et")
    second = write(Trace(replace(whole.run, seed=5), whole.ops), tmp_path / "B.et")
    with pytest.raises(TraceError, match="of different traces"):
        read([first[0], second[1]])
    with pytest.raises(TraceError, match="of different traces"):
        read([first[0], written([comp(1)], "own.1.et")])
    with pytest.raises(InputError, match=r"ends in \.et"):
        write(whole, tmp_path / "T.chakra")


@pytest.mark.parametrize("row", ["[1]", "{", '["x"]' * 4, json.dumps([0, 1.5, *[""] * 16])])
def test_a_row_of_ours_that_was_tampered_with_is_refused(
    whole: Trace, tmp_path: Path, row: str
) -> None:
    """It is no more to be trusted than the rest."""
    path = write(whole, tmp_path / "T.et")[0]
    file = File(path)
    nodes = list(file.nodes())
    nodes[0].attrs[ROW] = row
    with path.open("wb") as out:
        put(out, metadata(file.attrs))
        put(out, nodes[0].encoded())
    with pytest.raises(TraceError, match=r"T\.0\.et: node 0: "):
        read([path])


def test_mlcommons_own_classes_read_it_the_same(whole: Trace, tmp_path: Path) -> None:
    """Where their package, mlc-chakra, is installed."""
    theirs = pytest.importorskip("chakra.schema.protobuf.et_def_pb2")
    lib = pytest.importorskip("chakra.src.third_party.utils.protolib")
    for path in write(whole, tmp_path / "T.et"):
        ours = list(File(path).nodes())
        with path.open("rb") as file:
            assert lib.decodeMessage(file, theirs.GlobalMetadata())
            for node in ours:
                found = theirs.Node()
                assert lib.decodeMessage(file, found)
                assert (found.id, found.name, found.type) == (node.id, node.name, node.type)
                assert tuple(found.data_deps) == node.deps
                assert found.duration_micros == node.duration_us
                values = {a.name: getattr(a, a.WhichOneof("value")) for a in found.attr}
                assert values == node.attrs
