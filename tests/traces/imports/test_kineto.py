"""Files that torch.profiler wrote become traces that say what the program did."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from simnet.drivers.replay import replay
from simnet.network.files import find
from traces.errors import InputError, TraceError
from traces.imports.formats import read
from traces.summary import summarize
from traces.trace import Trace

ROW = 64 * 4  # bytes of a row of the program's tensors
#: What the program asks for in each block: kind, and bytes of ranks 0 and 1.
ASKED = [
    ("all_gather", 8 * ROW, 8 * ROW),
    ("all_reduce", 8 * ROW, 8 * ROW),
    ("all_gather", 8 * ROW, 8 * ROW),
    ("all_to_all", 8 * ROW, 8 * ROW),
    ("all_to_all", 8 * ROW, 8 * ROW),
    ("message", 8 * ROW, 0),
    ("message", 0, 8 * ROW),
    ("send", 8 * ROW, 8 * ROW),
    ("recv", 0, 0),
    ("all_gather", 8 * ROW, 8 * ROW),
    ("reduce_scatter", 8 * ROW, 8 * ROW),
    ("broadcast", 8 * ROW, 8 * ROW),
    ("reduce", 8 * ROW, 8 * ROW),
    ("gather", 8 * ROW, 8 * ROW),
    ("scatter", 16 * ROW, 16 * ROW),
    ("barrier", 0, 0),
]
pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def trace(profiled: Path) -> Trace:
    """Of the run whose steps and blocks are annotated."""
    return read([profiled / f"kineto-{rank}.json" for rank in (1, 0)])


def transfers(trace: Trace, rank: int) -> pd.DataFrame:
    """One rank's."""
    ops = trace.ops
    return ops[(ops["rank"] == rank) & (ops["stream"] != "compute")]


def test_every_transfer_is_there_in_order_with_its_bytes(trace: Trace) -> None:
    """In each of 3 steps and 2 blocks, on both ranks."""
    for rank in (0, 1):
        kinds = ["recv" if kind == "message" else kind for kind, *_ in ASKED]
        kinds[5 + rank] = "send"
        rows = transfers(trace, rank)
        assert rows["kind"].tolist() == kinds * 6
        assert rows["bytes"].tolist() == [asked[1 + rank] for asked in ASKED] * 6
        assert rows["step"].tolist() == [step for step in range(3) for _ in range(32)]
        assert rows["layer"].tolist() == [layer for layer in (0, 1) for _ in range(16)] * 3
        assert set(rows["group"]) == {"0,1"}


def test_peers_roots_and_parts_are_those_of_the_program(trace: Trace) -> None:
    """In ranks of the run; and the parts of the all-to-all whose splits differ."""
    rows = transfers(trace, 0)
    assert set(rows.loc[rows["kind"] == "send", "dst"]) == {1}
    assert set(rows.loc[rows["kind"] == "recv", "src"]) == {1}
    assert set(rows.loc[rows["kind"] == "broadcast", "src"]) == {1}
    assert set(rows.loc[rows["kind"].isin(("reduce", "gather")), "dst"]) == {0}
    assert rows.loc[rows["parts"] != "", "parts"].tolist() == [f"{2 * ROW},{6 * ROW}"] * 6
    assert set(rows.loc[rows["kind"] == "scatter", "shape"]) == {"16x64:float32"}


def test_rows_tile_the_time_of_each_rank(trace: Trace) -> None:
    """Compute, waits and the host's gaps add up to the length of its recording."""
    for rank in (0, 1):
        rows = trace.ops[(trace.ops["rank"] == rank) & (trace.ops["stream"] == "compute")]
        every = trace.ops[trace.ops["rank"] == rank]
        length_s = rows["end_s"].max() - every["start_s"].min()
        tiled_s = (rows["end_s"] - rows["start_s"]).sum() + every["host_s"].sum()
        assert tiled_s == pytest.approx(length_s, abs=1e-9)
        compute = rows[rows["kind"] == "compute"]
        assert compute["cost_s"].tolist() == pytest.approx(
            (compute["end_s"] - compute["start_s"]).tolist()
        )
        assert set(compute["name"].str.partition("[")[0]) <= {"block", "compute"}


def test_a_collective_ends_after_both_ranks_have_asked_for_it(trace: Trace) -> None:
    """So the two files are on one clock; some milliseconds are left for the profiler's."""
    joint = ("all_gather", "all_reduce", "all_to_all", "barrier")
    first, second = (
        rows[rows["kind"].isin(joint)].reset_index() for rows in map(transfers, [trace] * 2, (0, 1))
    )
    asked_s = first["start_s"].combine(second["start_s"], max)
    assert (first["end_s"] > asked_s - 5e-3).all()
    assert (second["end_s"] > asked_s - 5e-3).all()


def test_what_the_program_computes_meanwhile_precedes_a_recorded_wait(trace: Trace) -> None:
    """A functional gather is waited for by the operator that needs it, within which that is."""
    rows = trace.ops[trace.ops["rank"] == 0]
    asked = rows[(rows["kind"] == "all_gather")]
    number = int(asked["seq"].iloc[1])
    wait = int(rows.loc[rows["waits_for"] == number, "seq"].iloc[0])
    between = rows[(rows["seq"] > number) & (rows["seq"] < wait)]
    assert between["kind"].tolist() == ["compute"]


def test_what_had_to_be_guessed_is_said(trace: Trace) -> None:
    """The waits for the sum and the batched messages, and the type of what rank 1 is sent."""
    assert all(line.startswith(("rank 0: ", "rank 1: ")) for line in trace.problems)
    assert any("asynchronous transfers are waited for" in line for line in trace.problems)
    assert any("of what type 6 transfers are" in line for line in trace.problems)
    assert not any("sizes" in line or "not understood" in line for line in trace.problems)


def test_modules_and_names_of_transfers_place_the_rows_too(profiled: Path, trace: Trace) -> None:
    """Recorded with_stack and record_comm, compressed: the same program, and its roles."""
    stacked = read([profiled / f"stack-{rank}.json.gz" for rank in (0, 1)])

    for rank in (0, 1):
        here, there = transfers(stacked, rank), transfers(trace, rank)
        for column in ("kind", "step", "layer", "bytes", "dst", "src", "parts"):
            assert here[column].tolist() == there[column].tolist(), column
        assert here["name"].iloc[0] == "kv"
    assert {"Block[0]", "Block[1]"} <= set(stacked.ops["name"])


def test_the_header_says_where_it_is_from(trace: Trace) -> None:
    """Measured, by what backend, and when."""
    run = trace.run
    assert (run.driver, run.evidence, run.ranks, run.steps) == ("kineto", "measured", 2, 3)
    assert (run.device, run.network, run.dtype) == ("cpu", "recorded with gloo", "float32")
    assert run.started.startswith("20")


def test_it_is_saved_and_read_back(trace: Trace, tmp_path: Path) -> None:
    """Every row passes the checks of a trace."""
    trace.save(tmp_path / "T")
    again = Trace.open(tmp_path / "T")
    pd.testing.assert_frame_equal(again.ops, trace.ops)
    assert again.problems == trace.problems


def test_it_is_replayed_on_other_networks(profiled: Path, trace: Trace) -> None:
    """Computes stay, a slower network takes longer; the execution trace has the same bytes."""
    graph = read([profiled / f"et-{rank}.json" for rank in (0, 1)])
    for source in (trace, graph):
        fast, slow = (summarize(replay(source, find(n))) for n in ("ethernet-10g", "ethernet-100m"))
        assert fast.total_s < slow.total_s
        before, after = (
            [rank.compute_s for rank in one.ranks] for one in (summarize(source), fast)
        )
        assert after == pytest.approx(before)
        assert fast.wire_bytes == summarize(trace).wire_bytes


def test_ranks_are_those_in_the_files_or_in_order(profiled: Path, trace: Trace) -> None:
    """The same file twice is not two ranks, unless one says so."""
    copy = profiled / "copy.json"
    copy.write_bytes((profiled / "kineto-0.json").read_bytes())
    with pytest.raises(TraceError, match=r"copy\.json: says that it is of rank 0"):
        read([profiled / "kineto-0.json", copy])
    turned = read([profiled / "kineto-1.json", profiled / "kineto-0.json"], in_order=True)
    assert len(transfers(turned, 0)) == len(transfers(trace, 0))
    with pytest.raises(InputError, match="given twice"):
        read([copy, copy])


def test_one_rank_of_two_is_a_trace_that_lacks_the_other(profiled: Path, tmp_path: Path) -> None:
    """Which it says when it is opened."""
    read([profiled / "kineto-1.json"]).save(tmp_path / "T")
    assert "rank 0: no part was recorded" in Trace.open(tmp_path / "T").problems


def test_without_shapes_sizes_are_missing_and_that_is_said(profiled: Path, tmp_path: Path) -> None:
    """They count as none."""
    data = json.loads((profiled / "kineto-0.json").read_text())
    for event in data["traceEvents"]:
        if event["name"] in ("c10d::send", "c10d::recv_", *_ROOTED):
            event["name"] = "left out"
        args = event.get("args", {})
        for name in ("Concrete Inputs", "Input type", "Input Dims"):
            args.pop(name, None)
    (tmp_path / "bare.json").write_text(json.dumps(data))

    bare = read([tmp_path / "bare.json"])

    assert bare.ops["bytes"].sum() == 0
    assert any("have no sizes" in line for line in bare.problems)


_ROOTED = ("c10d::broadcast_", "c10d::reduce_", "c10d::gather_", "c10d::scatter_")
