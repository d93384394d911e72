"""Recordings of all-to-alls of parts that differ: on disk, cut short, replayed anywhere."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from simnet.cli import OK, call
from simnet.drivers.engine import Work, play
from simnet.drivers.observer import Observer
from simnet.drivers.replay import Blob, replay
from simnet.network.collectives.named import selection
from simnet.network.network import Network
from simnet.network.recorded import RecordedNetwork
from simnet.network.topology import Links, Medium
from simnet.ops import AllGather, AllToAll, At, Compute, Group, Program, Wait
from traces.errors import ScheduleError, TraceError
from traces.operation import table
from traces.partial import common_steps
from traces.run import Run
from traces.trace import Trace

LINKS = Links("links", 512.0, 0.25, collectives=selection("gloo"))
#: From each rank to each, in rows of as many bytes as a link carries in a second.
ROWS = ((9, 1, 2), (3, 9, 0), (0, 4, 9))
Matrix = Sequence[Sequence[int]]
#: Sizes or the length of equal parts, the group, and what each rank computes before.
Turn = tuple[Matrix | int, tuple[int, ...], list[float]]


def mine(rows: Matrix, rank: int, group: Group | None = None) -> AllToAll:
    """What the member at this place asks for, with rows of 64 bytes."""
    count = sum(rows[rank])
    value = Blob(64 * count, (count, 64), "uint8")
    return AllToAll("x", value, group, sends=rows[rank], takes=[row[rank] for row in rows])


def matrices(ranks: int, most: int = 5) -> st.SearchStrategy[list[list[int]]]:
    """Rows from each rank to each, often none."""
    row = st.lists(st.just(0) | st.integers(0, most), min_size=ranks, max_size=ranks)
    return st.lists(row, min_size=ranks, max_size=ranks)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[int, list[Turn]]:
    """Ranks, and what they do."""
    ranks = draw(st.integers(1, 4))
    turns: list[Turn] = []
    for _ in range(draw(st.integers(1, 4))):
        some = st.lists(st.integers(0, ranks - 1), min_size=1, unique=True)
        group = tuple(sorted(draw(some)))
        sizes = draw(st.integers(0, 3) | matrices(len(group)))
        costs_s = draw(st.lists(st.floats(0, 3), min_size=ranks, max_size=ranks))
        turns.append((sizes, group, costs_s))
    return ranks, turns


def turning(rank: int, turns: list[Turn]) -> Program:
    """Each exchange is waited for a turn later."""
    yield At(0)
    ticket = None
    for sizes, ranks, costs_s in turns:
        yield Compute(max, costs_s[rank])
        if rank in ranks:
            group = Group(ranks, "some")
            if isinstance(sizes, int):
                length = sizes * len(ranks)
                op = AllToAll("y", Blob(8 * length, (length, 8), "uint8"), group)
            else:
                op = mine(sizes, ranks.index(rank), group)
            before, ticket = ticket, (yield op)
            if before:
                yield Wait(before)
    if ticket:
        yield Wait(ticket)


def took(op: Compute) -> Work:
    """Its argument says how long it takes."""
    return Work(None, "nothing", "", op.args[0])


def recording(programs: Sequence[Program], network: Network = LINKS, steps: int = 1) -> Trace:
    """What playing them leaves."""
    run = Run("toy", "toy", len(programs), steps, "simulated", "toy", network.name)
    return Trace(run, table(play(programs, steps, took, network, Observer())[0]))


@settings(max_examples=50)
@given(worlds())
def test_a_replay_exchanges_the_same_bytes_between_the_same_ranks(
    world: tuple[int, list[Turn]],
) -> None:
    """On the same network to the bit, on the recorded one up to rounding, on others as if there."""
    ranks, turns = world
    trace = recording([turning(rank, turns) for rank in range(ranks)])
    same = replay(trace, LINKS)
    pd.testing.assert_frame_equal(same.ops, trace.ops, check_exact=True)
    again = replay(trace, RecordedNetwork.from_trace(trace))
    for column in ("start_s", "end_s"):
        np.testing.assert_allclose(again.ops[column], trace.ops[column], rtol=1e-9, atol=1e-9)
    medium = Medium("medium", 100.0, 0.125)
    there = recording([turning(rank, turns) for rank in range(ranks)], medium)
    pd.testing.assert_frame_equal(replay(trace, medium).ops, there.ops, check_exact=True)


def exchanging(rank: int, rows: Matrix = ROWS) -> Program:
    """Two steps, with an exchange of unlike sizes in each and a message between them."""
    for step in range(2):
        yield At(step, 0)
        yield Wait((yield mine(rows, rank)))
        yield Wait((yield AllGather("y", Blob(8, (8,), "uint8"))))


def test_it_survives_the_disk_and_every_command(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Saved, summed up, compared, replayed and exported."""
    trace = recording([exchanging(rank) for rank in range(3)], steps=2)
    trace.save(tmp_path / "t")
    pd.testing.assert_frame_equal(Trace.open(tmp_path / "t").ops, trace.ops, check_exact=True)
    there = str(tmp_path / "t")
    assert call(["show", there]) == OK
    assert call(["replay", there, "--network", "ethernet-1g", "--out", f"{there}2"]) == OK
    assert call(["compare", there, f"{there}2"]) == OK
    assert call(["export", there, "--to", f"{there}.json"]) == OK
    capsys.readouterr()
    assert Trace.open(f"{there}2").ops["parts"].tolist() == trace.ops["parts"].tolist()
    events = json.loads(Path(f"{there}.json").read_text())["traceEvents"]
    parts = [event["args"]["parts"] for event in events if "parts" in event["args"]]
    assert parts == [text for text in trace.ops["parts"] if text]


def test_the_common_steps_of_a_killed_recording_are_replayed_with_their_sizes() -> None:
    """Rank 1 was lost in the second step."""
    trace = recording([exchanging(rank) for rank in range(3)], steps=2)
    lost = (trace.ops["rank"] == 1) & (trace.ops["step"] == 1)
    left = common_steps(Trace(trace.run, trace.ops[~lost]))
    assert left.run.steps == 1
    assert replay(left, LINKS).ops["parts"].tolist() == left.ops["parts"].tolist()


@pytest.mark.parametrize(
    ("parts", "error", "said"),
    [
        ("575,65,128", TraceError, "which are no whole rows of '12x64:uint8', of 64 bytes each"),
        ("576,192", TraceError, "expected bytes for each rank of its group"),
        ("a,b,c", TraceError, "rank 0, operation 0: its parts are 'a,b,c'"),
        ("576,128,64", None, ""),
        ("", ScheduleError, "rank 1 has .* with sends and takes, rank 0 has .* without"),
    ],
)
def test_recorded_parts_that_make_no_sense_are_refused(
    parts: str, error: type[Exception] | None, said: str
) -> None:
    """Those of rank 0's first exchange, in a table made by hand."""
    ops = recording([exchanging(rank) for rank in range(3)], steps=2).ops
    ops.loc[0, "parts"] = parts
    trace = Trace(Run("toy", "toy", 3, 2, "simulated", "toy", "toy"), ops)
    if error is None:
        assert replay(trace, LINKS).ops["parts"][0] == parts
        return
    with pytest.raises(error, match=said):
        replay(trace, LINKS)


def test_rows_of_no_bytes_are_replayed_too() -> None:
    """Nobody can tell from the trace who got them."""

    def program() -> Program:
        yield At(0)
        rows = Blob(0, (3, 0), "uint8")
        yield Wait((yield AllToAll("x", rows, sends=(1, 2), takes=(1, 2))))

    def other() -> Program:
        yield At(0)
        rows = Blob(0, (5, 0), "uint8")
        yield Wait((yield AllToAll("x", rows, sends=(2, 3), takes=(2, 3))))

    trace = recording([program(), other()])
    assert trace.ops["parts"].tolist() == ["0,0", "", "0,0", ""]
    pd.testing.assert_frame_equal(replay(trace, LINKS).ops, trace.ops, check_exact=True)
