"""Chakra files on which another simulator crashed, stopped half-way or told a wrong result.

Each is refused, in reading or in replay, by an error that names the file or the ranks.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import pytest

from simnet.drivers.replay import replay
from simnet.network.graph import Graph
from simnet.network.link import Link
from simnet.network.topology import Links
from traces.chakra.messages import COMM_TYPES, Node, NodeType, metadata, put
from traces.errors import InputError, ScheduleError, TraceError
from traces.imports.formats import read
from traces.trace import Trace

RANKS = 4
MIB = 2**20
Change = Callable[[dict[int, list[Node]]], None]
NETWORK = Links("box", 1e9, 0.0)


def comp(key: int, *deps: int) -> Node:
    """A compute."""
    return Node(key, "compute", NodeType.COMP, deps, duration_us=10)


def coll(key: int, *deps: int, kind: str = "all_reduce", size: int = MIB) -> Node:
    """A collective of all ranks."""
    node = Node(key, kind, NodeType.COMM_COLL, deps)
    node.attrs = {"comm_type": COMM_TYPES[kind], "comm_size": size}
    return node


def message(key: int, sort: NodeType, peer: int, *deps: int, size: int = MIB) -> Node:
    """A message to or from a rank."""
    node = Node(key, "message", sort, deps)
    end = "comm_dst" if sort == NodeType.COMM_SEND else "comm_src"
    node.attrs = {"comm_size": size, end: peer}
    return node


def send(key: int, peer: int, *deps: int, size: int = MIB) -> Node:
    """Of a mebibyte."""
    return message(key, NodeType.COMM_SEND, peer, *deps, size=size)


def recv(key: int, peer: int, *deps: int, size: int = MIB) -> Node:
    """Of a mebibyte."""
    return message(key, NodeType.COMM_RECV, peer, *deps, size=size)


def valid() -> dict[int, list[Node]]:
    """Each rank computes, reduces with all others, and computes."""
    return {rank: [comp(0), coll(1, 0), comp(2, 1)] for rank in range(RANKS)}


def on(rank: int, nodes: Sequence[Node]) -> Change:
    """One rank has these instead."""
    return lambda ranks: ranks.update({rank: list(nodes)})


def everywhere(kind: str, size: int) -> Change:
    """All ranks have this collective."""
    nodes = [comp(0), coll(1, 0, kind=kind, size=size), comp(2, 1)]
    return lambda ranks: ranks.update(dict.fromkeys(ranks, nodes))


def between(first: Sequence[Node], second: Sequence[Node]) -> Change:
    """Ranks 0 and 1 have these instead, and the others only compute."""
    others = {rank: [comp(0)] for rank in range(2, RANKS)}
    return lambda ranks: ranks.update({0: list(first), 1: list(second), **others})


def leave_out(ranks: dict[int, list[Node]]) -> None:
    """There is no file of rank 2."""
    del ranks[2]


def written(folder: Path, ranks: Mapping[int, Sequence[Node]]) -> list[Path]:
    """A file of each rank."""
    paths = []
    for rank, nodes in ranks.items():
        paths.append(folder / f"T.{rank}.et")
        with paths[-1].open("wb") as file:
            put(file, metadata({}))
            for node in nodes:
                put(file, node.encoded())
    return paths


def imported(folder: Path, change: Change) -> Trace:
    """The trace of files with the change in them."""
    ranks = valid()
    change(ranks)
    return read(written(folder, ranks))


def test_the_valid_input_is_read_and_replayed(tmp_path: Path) -> None:
    """10 µs, an all-reduce of 1 MiB among 4 at 1 Gbit/s, 10 µs."""
    trace = imported(tmp_path, lambda _: None)
    assert trace.problems == ()
    predicted = replay(trace, NETWORK)
    assert predicted.ops["end_s"].max() == pytest.approx(20e-6 + 1.5 * 8 * MIB / 1e9, rel=0.01)


READING: dict[str, tuple[Change, str]] = {
    "comm_size = -1": (everywhere("all_reduce", -1), r"T\.0\.et: node 1: comm_size is -1"),
    "dependency cycle": (
        on(3, [comp(0, 2), coll(1, 0), comp(2, 1)]),
        r"T\.3\.et: nodes depend on each other in a circle, node 0",
    ),
    "dependency on a node that does not exist": (
        on(3, [comp(0, 9)]),
        r"T\.3\.et: node 0 depends on node 9, which there is not",
    ),
    "duplicate node id": (
        on(3, [comp(0), comp(0)]),
        r"T\.3\.et: there are two nodes of id 0",
    ),
    "send to a rank outside the network": (
        on(0, [send(0, 9)]),
        r"T\.0\.et: node 0: comm_dst is 9; expected one of the ranks 0,1,2,3",
    ),
    "empty trace (metadata only)": (on(1, []), r"T\.1\.et: has no nodes"),
}


@pytest.mark.parametrize("case", READING)
def test_nodes_that_make_no_sense_are_refused_in_reading(tmp_path: Path, case: str) -> None:
    """By the file and the node."""
    change, said = READING[case]
    with pytest.raises(TraceError, match=said):
        imported(tmp_path, change)


TOGETHER: dict[str, tuple[Change, str]] = {
    "trace missing for one rank": (leave_out, "nothing was recorded of rank 2"),
    "collective on 3 of 4 ranks only": (
        on(3, [comp(0)]),
        "rank 2 waits for all_reduce .*: rank 3 did not join",
    ),
    "collective on 3 of 4 ranks only, for which nobody waits": (
        lambda ranks: ranks.update({0: [coll(0)], 1: [coll(0)], 2: [coll(0)], 3: [comp(0)]}),
        "all_reduce .*: rank 3 did not join",
    ),
    "collective sizes differ across ranks": (
        on(3, [coll(1, size=MIB // 2), comp(2, 1)]),
        "rank 0 has all_reduce .*rank 3 has .*the sizes are 1048576 and 524288 bytes",
    ),
    "collective types differ across ranks": (
        on(3, [coll(1, kind="all_gather"), comp(2, 1)]),
        "rank 0 has all_reduce .*rank 3 has all_gather .*same kind",
    ),
    "message sizes differ between ranks": (
        between([send(0, 1)], [recv(0, 0, size=MIB // 2)]),
        "rank 0 has send .*rank 1 has recv .*the sizes are 1048576 and 524288 bytes",
    ),
    "send without recv": (
        between([send(0, 1), comp(1, 0)], [comp(0)]),
        "rank 0 .*send.*rank 1",
    ),
    "send without recv, for which nobody waits": (
        between([send(0, 1)], [comp(0)]),
        "rank 0 .*send.*rank 1",
    ),
    "recv without send": (
        between([comp(0)], [recv(0, 0), comp(1, 0)]),
        "rank 1 .*recv.*rank 0",
    ),
    "recv without send, for which nobody waits": (
        between([comp(0)], [recv(0, 0)]),
        "rank 1 .*recv.*rank 0",
    ),
    "receives that wait for each other": (
        between([recv(0, 1), comp(1, 0), send(2, 1, 1)], [recv(0, 0), comp(1, 0), send(2, 0, 1)]),
        "rank 0 .*recv.*rank 1",
    ),
}


@pytest.mark.parametrize("case", TOGETHER)
def test_ranks_that_do_not_fit_together_are_refused_in_replay(tmp_path: Path, case: str) -> None:
    """By the ranks and what they ask for; it neither hangs nor ends with some of them."""
    change, said = TOGETHER[case]
    trace = imported(tmp_path, change)
    with pytest.raises((ScheduleError, TraceError), match=f"(?s){said}"):
        replay(trace, NETWORK)


def test_a_network_of_fewer_ranks_than_the_trace_is_refused(tmp_path: Path) -> None:
    """Four traces, of which one more would have no place."""
    trace = imported(tmp_path, lambda _: None)
    pair = Graph("pair", ("a", "b"), (Link("a-b", ("a", "b"), 1e9),))
    with pytest.raises(InputError, match="places for 2 ranks, and none for rank"):
        replay(trace, pair)


@pytest.mark.parametrize("kind", ["all_reduce", "all_to_all"])
def test_a_collective_of_no_bytes_is_read_and_said(tmp_path: Path, kind: str) -> None:
    """comm_size = 0: a rank may have nothing to give, but a file may also be wrong."""
    trace = imported(tmp_path, everywhere(kind, 0))
    assert trace.problems[0] == "rank 0: 1 transfers have no comm_size, or 0; they count as 0 bytes"
    assert replay(trace, NETWORK).ops["end_s"].max() == pytest.approx(20e-6)


@pytest.mark.parametrize("size", [10, 3])
@pytest.mark.parametrize("kind", ["all_reduce", "all_gather", "all_to_all", "reduce_scatter"])
def test_sizes_that_do_not_divide_by_the_ranks_carry_all_their_bytes(
    tmp_path: Path, kind: str, size: int
) -> None:
    """comm_size = 10 or 3 among 4 ranks: nothing is rounded to 0."""
    trace = imported(tmp_path, everywhere(kind, size))
    sent = {"all_reduce": 2 * size * 3 / 4, "all_gather": size * 3}.get(kind, size * 3 / 4)
    assert trace.ops["wire_bytes"].max() == pytest.approx(sent, abs=1)
    assert replay(trace, NETWORK).ops["end_s"].max() > 20e-6


def test_a_file_that_is_no_whole_chakra_file_is_refused(tmp_path: Path) -> None:
    """Zero bytes, random bytes, and any end that is missing, if it is not between two nodes."""
    paths = written(tmp_path, valid())
    whole = paths[1].read_bytes()
    noise = random.Random(0).randbytes(4096)  # noqa: S311 - no secret
    cuts = [whole[:-missing] for missing in range(1, len(whole))]
    whole_ends = []
    for data in (b"", noise, *cuts):
        paths[1].write_bytes(data)
        try:
            trace = read(paths)
        except TraceError as error:
            assert "T.1.et" in str(error)  # noqa: PT017 - both outcomes are looked at
            continue
        whole_ends.append(len(data))
        if not trace.ops["kind"].eq("all_reduce").groupby(trace.ops["rank"]).any().all():
            with pytest.raises(ScheduleError, match="rank 1 did not join"):
                replay(trace, NETWORK)
    assert len(whole_ends) == 2  # after one node and after two


def test_a_torn_file_of_a_rank_that_differs_is_refused(tmp_path: Path) -> None:
    """Rank 0 sends 4 MiB, rank 1 2 MiB, whose file lacks its last 3 bytes."""
    ranks = {0: [coll(0, size=4 * MIB)], 1: [coll(0, size=2 * MIB)]}
    paths = written(tmp_path, ranks)
    paths[1].write_bytes(paths[1].read_bytes()[:-3])
    with pytest.raises(TraceError, match=r"T\.1\.et: byte \d+: a message of .* the file is torn"):
        read(paths)
