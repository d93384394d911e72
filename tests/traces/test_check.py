"""Rows of a transfer agree with each other: the ranks, the payload's shape and its bytes."""

from __future__ import annotations

from typing import Any

import pytest

from traces.columns import COLLECTIVES, MESSAGES, ROOTS
from traces.errors import TraceError
from traces.operation import Operation, table
from traces.run import Run
from traces.trace import Trace

RUN = Run("tiny", "ring", ranks=3, steps=1, driver="simulated", device="toy", network="wire")
PEERS: dict[str, dict[str, int]] = {"send": {"dst": 1}, "recv": {"src": 1}}
PEERS["shift"] = {"dst": 1, "src": 1}
PEERS |= {kind: {column: 1} for kind, column in ROOTS.items()}
KINDS = tuple(kind for kind in (*MESSAGES, *COLLECTIVES) if kind != "barrier")


def read(*transfers: dict[str, Any]) -> None:
    """Scan a trace of rank 0 with these transfers, two rows at a time."""
    rows = []
    for seq, transfer in enumerate(transfers):
        fields = {"group": "0,1", **PEERS.get(transfer["kind"], {}), **transfer}
        kind = fields.pop("kind")
        rows.append(Operation(0, seq, "world", kind, "kv", 0, 0, 0.0, 1.0, **fields))
    for _ in Trace(RUN, table(rows)).scan(batch_rows=2):
        pass


@pytest.mark.parametrize("shape", ["2x3:float32", "3:float64", "24:bool", "2x2x3:bfloat16"])
def test_bytes_that_are_the_shapes_are_taken(shape: str) -> None:
    """Of every kind, where a recv contributes none."""
    read(*({"kind": kind, "shape": shape, "bytes": 24 * (kind != "recv")} for kind in KINDS))


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_that_are_not_the_shapes_are_refused(kind: str) -> None:
    """The row is counted over batches."""
    right = {"kind": "send", "shape": "6:float32", "bytes": 24}
    wrong = {"kind": kind, "shape": "2x3:float32", "bytes": 24 if kind == "recv" else 12}
    with pytest.raises(TraceError, match=r"rank 0: row 3: bytes is \d+; expected what the shape"):
        read(right, right, right, wrong)


@pytest.mark.parametrize("kind", KINDS)
def test_bytes_without_a_shape_are_taken(kind: str) -> None:
    """What was imported may lack the shape."""
    read({"kind": kind, "bytes": 7})


def test_sizes_beyond_all_bounds_are_refused() -> None:
    """They would not fit the column, and are no tensor's."""
    with pytest.raises(TraceError, match="row 0: shape is 9000000000000000000x2:int64"):
        read({"kind": "send", "shape": f"{9 * 10**18}x2:int64", "bytes": 1})


def test_parts_are_bytes_for_each_rank_of_the_group_and_all_of_the_row() -> None:
    """Also 0, and those that stay; a row further on is as well looked at as the first."""
    right = {"kind": "all_to_all", "group": "0,1,2", "bytes": 7, "parts": "4,0,3"}
    read({"kind": "all_to_all", "bytes": 7}, right, {**right, "bytes": 0, "parts": "0,0,0"})
    for parts in ("4,3", "4,0,2", "4,0,2,1", "8,0,-1", "4,0,3,", "4, 0,3", "04,0,3", "a,0,3"):
        message = f"row 3: parts is {parts}; expected bytes for each rank of the group, together"
        with pytest.raises(TraceError, match=message):
            read({"kind": "all_reduce"}, right, right, {**right, "parts": parts})


@pytest.mark.parametrize("kind", sorted({*KINDS} - {"all_to_all"}))
def test_only_an_all_to_all_has_parts(kind: str) -> None:
    """All others send the same to everybody, or to one."""
    with pytest.raises(TraceError, match="row 0: parts is 3,4; expected none, as only an all_to"):
        read({"kind": kind, "bytes": 7, "parts": "3,4"})


def test_the_rank_is_one_of_its_group() -> None:
    """Nobody takes part in what others do among themselves."""
    with pytest.raises(TraceError, match="row 1: group is 1,2; expected the row's own rank among"):
        read({"kind": "all_gather"}, {"kind": "all_gather", "group": "1,2"})


@pytest.mark.parametrize(
    ("kind", "column"),
    [("send", "dst"), ("recv", "src"), ("shift", "dst"), ("shift", "src"), *ROOTS.items()],
)
def test_peers_are_of_the_group(kind: str, column: str) -> None:
    """Another rank of the run will not do; nor, for these kinds, none."""
    read({"kind": kind, "group": "0,1,2", column: 2})
    with pytest.raises(TraceError, match=f"{column} is 2; expected one of the ranks of the trans"):
        read({"kind": kind, column: 2})
    with pytest.raises(TraceError, match=f"{column} is -1; expected the rank that is"):
        read({"kind": kind, column: -1})


def test_a_barrier_moves_nothing() -> None:
    """It has neither bytes nor a shape."""
    read({"kind": "barrier"})
    with pytest.raises(TraceError, match="bytes is 1; expected 0, as a barrier moves nothing"):
        read({"kind": "barrier", "bytes": 1})
