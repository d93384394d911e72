"""Collectives against ASTRA-sim, and what is said of a file that will not do."""

from __future__ import annotations

import csv
import heapq
import statistics
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from simnet.validation.collectives import (
    DATA,
    DIFFERENCES,
    LIMIT,
    SUITE,
    TOPOLOGIES,
    Case,
    Row,
    Wiring,
    compare,
    load,
    seconds,
)
from traces.errors import InputError

LINE = {
    "topology": "Switch",
    "npus": "4",
    "bandwidth_GBps": "12.5",
    "latency_ns": "500",
    "collective": "all-gather",
    "algorithm": "ring",
    "bytes_per_npu": "1024",
    "time_ns": "3000",
}


@pytest.fixture(scope="module")
def rows() -> list[Row]:
    """All of the file."""
    return compare(load())


def test_collectives_agree_with_astra_sim(rows: list[Row]) -> None:
    """Within the limit, wherever both models mean the same thing, which is half of the file."""
    same = [row.error for row in rows if row.comparable]
    assert len(rows) == 1440
    assert len(same) == 720
    assert max(same) <= 6e-4 < LIMIT
    assert statistics.median(same) <= 1e-5


@pytest.mark.parametrize(
    ("reason", "count"), [("stored at the switch", 576), ("stored at each NPU", 144)]
)
def test_each_difference_is_what_its_formula_says(rows: list[Row], reason: str, count: int) -> None:
    """The formula makes their time of ours; without it the two would be far apart."""
    differing = [row for row in rows if row.reason == reason]
    assert len(differing) == count
    assert max(row.adjusted_error for row in differing) <= 2e-4 < LIMIT
    assert max(row.error for row in differing) > 0.15


def test_no_row_is_left_out(rows: list[Row]) -> None:
    """Each is either compared or has a reason that is explained."""
    assert [row.case for row in rows] == load()
    assert {row.reason for row in rows} == {"", *DIFFERENCES}
    assert all(row.comparable == (row.reason == "") for row in rows)
    assert SUITE == "collectives"


def test_the_file_has_every_combination_once() -> None:
    """Of topology, size and collective; a ring of two was not run."""
    cases = load()
    places = Counter((case.topology, case.npus) for case in cases)
    assert places == {
        (topology, npus): 288
        for topology in TOPOLOGIES
        for npus in (2, 8)
        if (topology, npus) != ("Ring", 2)
    }
    settings = {case._replace(where="", theirs_s=0.0) for case in cases}
    assert len(settings) == len(cases)


def case(topology: str, npus: int, kind: str, algorithm: str, message_s: float) -> Case:
    """One whose messages take so long on a link, with latency 1 s."""
    nbytes = 64 if kind == "all_gather" else 64 * npus
    return Case("", topology, npus, 8 * 64 / message_s, 1.0, kind, algorithm, nbytes, 1.0)


def stored(wiring: Wiring, messages: list[tuple[int, int]], message_s: float) -> float:
    """When all are there, if each is stored at every hop and links are first come first served."""
    arrivals = [(0.0, number, 0) for number in range(len(messages))]
    free_s: dict[str, float] = {}
    last_s = 0.0
    while arrivals:
        now_s, number, hop = heapq.heappop(arrivals)
        hops = wiring.hops(*messages[number])
        if hop == len(hops):
            last_s = now_s
            continue
        left_s = max(now_s, free_s.get(hops[hop], 0.0)) + message_s
        free_s[hops[hop]] = left_s
        heapq.heappush(arrivals, (left_s + wiring.case.latency_s, number, hop + 1))
    return last_s


@pytest.mark.parametrize("npus", [2, 3, 4, 5, 8, 16])
@pytest.mark.parametrize("message_s", [0.125, 0.3, 0.5, 0.75, 1.0, 1.5, 16.0])
@pytest.mark.parametrize("topology", ["Switch", "Ring"])
def test_the_formulas_hold_for_other_sizes_too(topology: str, npus: int, message_s: float) -> None:
    """Beside a small simulation of messages that are stored at every hop, nearest first."""
    one = case(topology, npus, "all_gather", "direct", message_s)
    wiring = TOPOLOGIES[topology](one)
    pairs = [(i, (i + d) % npus) for d in range(1, npus) for i in range(npus)]
    if topology == "Ring":
        pairs.sort(key=lambda ends: len(wiring.hops(*ends)))
    (row,) = compare([one])
    assert row.adjusted_s == pytest.approx(stored(wiring, pairs, message_s))


@pytest.mark.parametrize(
    ("topology", "kind", "algorithm", "expected_s"),
    [
        ("FullyConnected", "all_gather", "direct", 1 + 0.5),
        ("FullyConnected", "all_reduce", "direct", 2 * (1 + 0.5)),
        ("FullyConnected", "all_gather", "ring", 7 * (1 + 0.5)),
        ("FullyConnected", "all_to_all", "ring", 28 * (1 + 0.5)),
        ("Switch", "all_gather", "ring", 7 * (2 + 0.5)),
        ("Switch", "reduce_scatter", "direct", 2 + 7 * 0.5),
        ("Ring", "all_reduce", "ring", 14 * (1 + 0.5)),
        ("Ring", "all_to_all", "direct", 4 + (1 + 2 + 3 + 4) * 0.5),
    ],
)
def test_our_time_is_worked_out_by_hand(
    topology: str, kind: str, algorithm: str, expected_s: float
) -> None:
    """Eight NPUs, a second of latency a link, half a second for the bytes of a message."""
    assert seconds(case(topology, 8, kind, algorithm, 0.5)) == pytest.approx(expected_s)


def test_messages_go_round_a_ring_the_shorter_way() -> None:
    """Back where that is shorter; to the one opposite, upwards."""
    wiring = TOPOLOGIES["Ring"](case("Ring", 4, "all_gather", "ring", 1.0))
    assert wiring.hops(3, 1) == ["3 to 0", "0 to 1"]
    assert wiring.hops(0, 3) == ["0 to 3"]
    path = wiring.path(3, 1)
    assert (path.latency_s, [hop.rate_bps for hop in path.hops]) == (2.0, [512.0, 512.0])


def written(folder: Path, *lines: dict[str, str], header: str = ",".join(LINE)) -> Path:
    """A file of these lines."""
    path = folder / "astra.csv"
    with path.open("w", newline="") as file:
        file.write(header + "\n")
        csv.DictWriter(file, header.split(","), extrasaction="ignore").writerows(lines)
    return path


def test_a_line_reads_as_it_is_meant(tmp_path: Path) -> None:
    """Its GB is 2^30; other columns are ignored."""
    path = written(tmp_path, LINE | {"note": "x"}, header=",".join([*LINE, "note"]))
    (one,) = load(path)
    times = one.latency_s, one.theirs_s
    assert times == pytest.approx((500e-9, 3000e-9))
    assert one == Case(
        *(f"{path}: line 2", "Switch", 4, 8 * 12.5 * 2**30, times[0]),
        *("all_gather", "ring", 1024, times[1]),
    )


@pytest.mark.parametrize(
    ("column", "text", "said"),
    [
        ("topology", "Swich", "topology 'Swich': did you mean 'Switch'"),
        ("topology", "", "unknown topology ''"),
        ("collective", "allgather", "collective 'allgather': did you mean 'all-gather'"),
        ("algorithm", "x", "unknown algorithm 'x': there are direct, ring"),
        ("npus", "1", "npus is '1', expected a whole number, 2 to 1024"),
        ("npus", "100000", "npus is '100000', expected a whole number, 2 to 1024"),
        ("npus", "2.5", "npus is '2.5', expected a whole number"),
        ("bandwidth_GBps", "0", "bandwidth_GBps is 0.0, expected above 0"),
        ("bandwidth_GBps", "-1", "bandwidth_GBps is -1.0, expected above 0"),
        ("bandwidth_GBps", "fast", "bandwidth_GBps is 'fast', expected a number"),
        ("latency_ns", "-5", "latency_ns is -5.0, expected 0 or more"),
        ("latency_ns", "nan", "latency_ns is nan, expected 0 or more"),
        ("bytes_per_npu", "-8", "bytes_per_npu is -8.0, expected above 0"),
        ("bytes_per_npu", "", "bytes_per_npu is '', expected a number"),
        ("bytes_per_npu", "9" * 5000, "bytes_per_npu is inf, expected above 0"),
        ("time_ns", "0", "time_ns is 0.0, expected above 0"),
        ("time_ns", "inf", "time_ns is inf, expected above 0, at most 1e+15"),
        ("time_ns", "1e-320", "time_ns is 1e-320, expected above 0"),
    ],
)
def test_a_cell_that_makes_no_sense_is_named(
    tmp_path: Path, column: str, text: str, said: str
) -> None:
    """With the file, the line, and what was expected."""
    path = written(tmp_path, LINE, LINE | {column: text})
    with pytest.raises(InputError) as failure:
        load(path)
    assert str(failure.value).startswith(f"{path}: line 3: ")
    assert said in str(failure.value)


@pytest.mark.parametrize("column", LINE)
def test_a_column_that_is_missing_is_named(tmp_path: Path, column: str) -> None:
    """Before any line is read."""
    path = written(tmp_path, LINE, header=",".join(name for name in LINE if name != column))
    with pytest.raises(InputError, match=f"{path}: line 1: the column '{column}' is missing"):
        load(path)


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda path: path.write_bytes(b""), "line 1: the column 'topology' is missing"),
        (lambda path: path.write_bytes(b"\xff\xfe\x00"), "expected CSV in UTF-8, but"),
        (lambda path: written(path.parent), "expected at least one collective below the header"),
        (lambda path: path.unlink(), "cannot read collectives: No such file"),
        (lambda path: (path.unlink(), path.mkdir()), "cannot read collectives: Is a directory"),
    ],
)
def test_a_file_of_something_else_is_refused(
    tmp_path: Path, spoil: Callable[[Path], object], said: str
) -> None:
    """By name."""
    path = written(tmp_path, LINE)
    spoil(path)
    with pytest.raises(InputError) as failure:
        load(path)
    assert str(failure.value).startswith(f"{path}: {said}")


def test_the_file_is_beside_its_reader() -> None:
    """So that it is there wherever the package is."""
    assert DATA.with_name("collectives.md").is_file()
    assert load() == load(DATA)
