"""The picture for Perfetto obeys the rules of its format."""

from __future__ import annotations

import gzip
import itertools
import json
import math
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from traces.operation import Operation, table
from traces.perfetto import events, write
from traces.run import Run
from traces.trace import Trace

Event = dict[str, Any]


def drawn(trace: Trace, phase: str = "X") -> list[Event]:
    """Its slices, or events of another phase."""
    return [event for event in events(trace) if event["ph"] == phase]


def assert_nothing_crosses(slices: list[Event]) -> None:
    """In one thread a slice begins where the last one has ended."""
    for _, thread in itertools.groupby(
        sorted(slices, key=lambda e: (e["pid"], e["tid"])), lambda e: (e["pid"], e["tid"])
    ):
        for first, second in itertools.pairwise(thread):
            assert round(1000 * (first["ts"] + first["dur"])) <= round(1000 * second["ts"])


@pytest.mark.parametrize("name", ["picture.json", "picture.json.gz"])
def test_the_file_is_json_and_the_same_each_time(whole: Trace, tmp_path: Path, name: str) -> None:
    """Compressed if its name says so; nothing else is left beside it."""
    write(whole, tmp_path / name)
    data = (tmp_path / name).read_bytes()
    write(whole, tmp_path / name)

    assert (tmp_path / name).read_bytes() == data
    assert [path.name for path in tmp_path.iterdir()] == [name]
    text = gzip.decompress(data) if name.endswith(".gz") else data
    assert json.loads(text)["traceEvents"] == list(events(whole))


def test_there_is_a_slice_for_every_operation(whole: Trace) -> None:
    """In microseconds, with its process, kind and arguments."""
    slices = drawn(whole)

    assert len(slices) == len(whole.ops)
    gather = next(e for e in slices if e["cat"] == "all_gather")
    row = whole.ops[whole.ops["kind"] == "all_gather"].iloc[0]
    assert (gather["pid"], gather["name"], gather["args"]["bytes"]) == (1, "kv", 8)
    assert gather["ts"] == pytest.approx(row["start_s"] * 1e6)
    assert gather["dur"] == pytest.approx((row["end_s"] - row["start_s"]) * 1e6)
    assert set(gather["args"]) == {"seq", "step", "layer", "bytes", "wire_bytes", "shape"}


def test_processes_are_ranks_and_threads_are_streams(whole: Trace) -> None:
    """Both are counted from 1, as Perfetto drops what is 0, and named."""
    names = drawn(whole, "M")

    assert [(e["pid"], e["args"]["name"]) for e in names if e["name"] == "process_name"] == [
        (1, "rank 0"),
        (2, "rank 1"),
    ]
    threads = {(e["pid"], e["tid"]): e["args"]["name"] for e in names if e["name"] == "thread_name"}
    assert threads == {(pid, tid): n for pid in (1, 2) for tid, n in ((1, "compute"), (2, "world"))}
    assert {(e["pid"], e["tid"]) for e in drawn(whole)} == set(threads)


def test_every_wait_has_an_arrow_from_its_transfer(whole: Trace) -> None:
    """Both ends carry the same id, which is of that transfer alone."""
    slices = drawn(whole)
    out = {e["bind_id"]: e for e in slices if e.get("flow_out")}
    waits = [e for e in slices if e["cat"] == "wait"]

    assert len(out) == sum(1 for e in slices if e.get("flow_out"))
    assert len(waits) == 10
    for wait in waits:
        mine = whole.ops["rank"] == wait["pid"] - 1
        target = whole.ops[mine & (whole.ops["seq"] == wait["args"]["seq"])]
        source = out[wait["bind_id"]]
        assert wait["flow_in"]
        assert (source["pid"], source["args"]["seq"]) == (wait["pid"], target["waits_for"].item())


def test_every_message_has_an_arrow_from_its_sender_to_its_receiver(whole: Trace) -> None:
    """It begins in a slice of the one and ends, not earlier, in a slice of the other."""
    begins = {e["id"]: e for e in drawn(whole, "s")}
    ends = {e["id"]: e for e in drawn(whole, "f")}
    shifts = [e for e in drawn(whole) if e["cat"] == "shift"]

    assert len(begins) == len(ends) == len(shifts) == 6
    for key, begin in begins.items():
        end = ends[key]
        assert {begin["pid"], end["pid"]} == {1, 2}
        assert begin["ts"] <= end["ts"]
        for event in (begin, end):
            assert any(
                (s["pid"], s["tid"]) == (event["pid"], event["tid"])
                and s["ts"] <= event["ts"] <= s["ts"] + s["dur"]
                for s in shifts
            )


def test_a_transfer_never_seen_to_end_lasts_to_the_end(run: Run, whole: Trace) -> None:
    """Its name says so."""
    ops = whole.ops.copy()
    ops.loc[2, "end_s"] = math.nan

    slices = drawn(Trace(run, ops))

    lost = next(e for e in slices if e["pid"] == 1 and e["args"]["seq"] == 2)
    assert lost["name"] == "kv (never seen to end)"
    last = max(e["ts"] + e["dur"] for e in slices if e["pid"] == 1)
    assert lost["ts"] + lost["dur"] == pytest.approx(last)


TIMES = st.tuples(st.floats(0, 10), st.sampled_from((0.1, 1.0, 7.0)))


@given(spans=st.lists(TIMES, min_size=1, max_size=12))
def test_overlapping_transfers_are_spread_over_as_few_threads_as_will_do(
    spans: list[tuple[float, float]],
) -> None:
    """No two cross in a thread, and there are as many threads as are ever under way at once."""
    rows = [
        Operation(0, seq, "world", "all_reduce", "x", 0, 0, start_s, start_s + length_s, group="0")
        for seq, (start_s, length_s) in enumerate(spans)
    ]
    slices = drawn(Trace(Run("m", "s", 1, 1, "d", "d", "n"), table(rows)))

    assert_nothing_crosses(slices)
    ns = [(round(1000 * e["ts"]), round(1000 * (e["ts"] + e["dur"]))) for e in slices]
    at_once = max(sum(a <= start < b for a, b in ns) for start, _ in ns)
    assert len({e["tid"] for e in slices}) == at_once


def test_nothing_crosses_in_a_whole_trace(whole: Trace) -> None:
    """Compute and transfers alike."""
    assert_nothing_crosses(drawn(whole))
