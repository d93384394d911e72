"""All-to-alls of parts that differ in size, from what a schedule asks for to the network."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import simpy
import torch
from hypothesis import Phase, example, given, settings
from hypothesis import strategies as st

from simnet.drivers.agreement import Said, check_agreement
from simnet.drivers.engine import Work, play
from simnet.drivers.observer import Observer
from simnet.drivers.replay import Blob, replay
from simnet.network.collectives.named import selection
from simnet.network.conditions.conditions import Conditions, Jitter
from simnet.network.conditions.under import Under
from simnet.network.network import Exchange, Line, Network
from simnet.network.presets import NETWORKS
from simnet.network.recorded import RecordedNetwork
from simnet.network.topology import Links, Medium
from simnet.ops import AllGather, AllToAll, At, Compute, Group, Program, Wait
from traces.errors import ScheduleError
from traces.operation import Operation
from traces.trace import Trace

LATENCY_S, BYTES_PER_S = 0.25, 64.0
LINKS = Links("links", 8 * BYTES_PER_S, LATENCY_S, collectives=selection("gloo"))
#: From each rank to each, in rows of as many bytes as a link carries in a second.
ROWS = ((9, 1, 2), (3, 9, 0), (0, 4, 9))
Matrix = Sequence[Sequence[int]]
LIVE = Path(__file__).parent / "live"


def mine(rows: Matrix, rank: int, group: Group | None = None) -> AllToAll:
    """What the member at this place asks for, with rows of 64 bytes."""
    count = sum(rows[rank])
    value = Blob(64 * count, (count, 64), "uint8")
    return AllToAll("x", value, group, sends=rows[rank], takes=[row[rank] for row in rows])


def toy(programs: Sequence[Program], network: Network, steps: int = 0) -> list[Operation]:
    """The programs' operations; a compute takes as long as its argument says."""

    def machine(op: Compute) -> Work:
        return Work(None, "nothing", "", op.args[0])

    return play(programs, steps, machine, network, Observer())[0]


def ends_s(rows: Matrix, network: Network) -> list[float]:
    """When each rank is through with an exchange of these rows."""

    def program(rank: int) -> Program:
        yield Wait((yield mine(rows, rank)))

    operations = toy([program(rank) for rank in range(len(rows))], network)
    return [op.end_s for op in operations if op.kind == "wait"]


def matrices(ranks: int, most: int = 5) -> st.SearchStrategy[list[list[int]]]:
    """Rows from each rank to each, often none."""
    row = st.lists(st.just(0) | st.integers(0, most), min_size=ranks, max_size=ranks)
    return st.lists(row, min_size=ranks, max_size=ranks)


def test_each_rank_gets_its_rows_of_everybodys_in_group_order() -> None:
    """Also none, with the other dimensions as they are."""
    values = [torch.arange(2.0 * sum(row)).view(-1, 2) + 1000 * i for i, row in enumerate(ROWS)]
    got: dict[int, list[torch.Tensor]] = {}

    def program(rank: int) -> Program:
        takes = [row[rank] for row in ROWS]
        got[rank] = yield Wait((yield AllToAll("x", values[rank], sends=ROWS[rank], takes=takes)))

    toy([program(rank) for rank in range(3)], LINKS)
    assert [[tuple(part.shape) for part in got[rank]] for rank in range(3)] == [
        [(9, 2), (3, 2), (0, 2)],
        [(1, 2), (9, 2), (4, 2)],
        [(2, 2), (0, 2), (9, 2)],
    ]
    expected = torch.cat((values[0][9:10], values[1][3:12], values[2][:4]))
    assert torch.equal(torch.cat(got[1]), expected)


@given(st.integers(1, 5).flatmap(matrices))
def test_no_row_is_lost_doubled_or_changed(rows: list[list[int]]) -> None:
    """On real tensors, and by shape on meta ones."""
    for device in ("cpu", "meta"):
        values = [torch.arange(sum(row), device=device) + 100 * i for i, row in enumerate(rows)]
        ops = [
            AllToAll("x", value, sends=row, takes=column)
            for value, row, column in zip(values, rows, zip(*rows, strict=True), strict=True)
        ]
        got = ops[0].deliver(ops)
        assert [[len(part) for part in parts] for parts in got] == [
            [row[i] for row in rows] for i in range(len(rows))
        ]
        if device == "cpu":
            for i, value in enumerate(values):
                assert torch.equal(torch.cat([parts[i] for parts in got]), value)


def test_a_row_has_the_bytes_for_each_and_those_that_leave() -> None:
    """What a rank keeps for itself does not go on the wire; other transfers have no parts."""

    def program(rank: int) -> Program:
        yield Wait((yield mine(ROWS, rank)))
        yield Wait((yield AllToAll("y", Blob(6, (6,), "uint8"))))

    rows = [op for op in toy([program(rank) for rank in range(3)], LINKS) if op.kind != "wait"]
    assert [(op.parts, op.bytes, op.wire_bytes) for op in rows if op.name == "x"] == [
        ("576,64,128", 768, 192),
        ("192,576,0", 768, 192),
        ("0,256,576", 832, 256),
    ]
    assert [(op.parts, op.wire_bytes) for op in rows if op.name == "y"] == [("", 4)] * 3


def test_on_links_of_their_own_all_at_once_take_what_the_busiest_link_takes() -> None:
    """Rank 1 gets 1 + 4 s of bytes; who only sends does not wait for them to arrive."""
    assert ends_s(ROWS, LINKS) == [3 + LATENCY_S, 5 + LATENCY_S, 5]


def test_in_pairs_a_rank_waits_for_its_own_messages_only() -> None:
    """0 to 1 in the first round; in the second 0 to 2 at 1 s, 1 to 0 and 2 to 1 at 1.25 s."""
    pairs = replace(LINKS, collectives=selection("ring"))
    assert ends_s(ROWS, pairs) == [1.25 + 3 + LATENCY_S, 1.25 + 4 + LATENCY_S, 1.25 + 4]


def test_a_medium_takes_what_all_take_together() -> None:
    """Ten seconds of bytes, of which nobody's own are any."""
    medium = Medium("medium", 8 * BYTES_PER_S, LATENCY_S, collectives=selection("gloo"))
    assert max(ends_s(ROWS, medium)) == pytest.approx(10 + LATENCY_S)


def test_who_sends_and_gets_nothing_is_done_at_once() -> None:
    """Whatever it keeps; and so is everybody where nobody has anything for others."""
    assert ends_s(((0, 2, 0), (1, 5, 0), (0, 0, 7)), LINKS)[2] == 0
    assert ends_s(((3, 0), (0, 0)), LINKS) == [0, 0]
    assert ends_s(((3,),), LINKS) == [0]


def took(network: Network, ranks: int, sizes: Matrix | None, nbytes: int) -> float:
    """Seconds of an all-to-all on idle links."""
    env = simpy.Environment()
    members = tuple(range(ranks))
    exchange = Exchange("all_to_all", members, nbytes, Line("w", members), 0, (0.0,) * ranks)
    if sizes is not None:
        exchange = exchange._replace(sizes=tuple(map(tuple, sizes)))
    network.traffic(env).carry(exchange)
    env.run()
    return float(env.now)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_carries_equal_sizes_as_it_carries_equal_parts(name: str) -> None:
    """Links, islands and graphs, with the algorithm that each has; and more for more bytes."""
    network = NETWORKS[name]
    even_s = took(network, 4, None, 4 << 20)
    assert took(network, 4, [[1 << 20] * 4] * 4, 4 << 20) == pytest.approx(even_s, rel=1e-9)
    more_s = took(network, 4, [[1 << 20, 1 << 24, 0, 1]] * 4, 1 << 25)
    assert more_s > even_s or name == "infinite"


def test_conditions_hold_for_parts_that_differ() -> None:
    """A jitter of all messages."""
    under = Under(LINKS, Conditions(jitter=Jitter(mean_s=0.5)), ranks=3)
    assert took(under, 3, ROWS, 0) > took(LINKS, 3, ROWS, 0)


@pytest.mark.parametrize(
    ("sends", "takes", "said"),
    [
        ([1, 1], [1, 1], r"sends is \[1, 1\], which is 2 rows in all, but its value is 3x4:uint8"),
        ([1, 1, 1], [1, 1], r"sends is \[1, 1, 1\], expected a number of rows from 0 up for each"),
        ([1, 2], [1], r"takes is \[1\], expected a number of rows from 0 up for each of its 2"),
        ([4, -1], [4, 1], r"sends is \[4, -1\], expected a number of rows from 0 up"),
        ([1, 2], [1, -2], r"takes is \[1, -2\], expected"),
        ([1, 2], None, "has sends and no takes; give both, or neither for equal parts"),
        (None, [1, 2], "has takes and no sends; give both"),
        ([1, 2], [2, 2], "of its own value it sends itself 1 rows and takes 2"),
    ],
)
def test_sizes_that_make_no_sense_are_refused(
    sends: list[int] | None, takes: list[int] | None, said: str
) -> None:
    """With the rank, the operation and the place in the run."""

    def program() -> Program:
        yield At(0, 7)
        yield AllToAll("kv", Blob(12, (3, 4), "uint8"), sends=sends, takes=takes)

    with pytest.raises(ScheduleError, match="^rank 0, step 0, layer 7: all_to_all 'kv'.*" + said):
        toy([program(), program()], LINKS, steps=1)


def test_what_has_no_rows_cannot_be_cut_into_them() -> None:
    """A scalar; and no number of rows is a fraction."""

    def program(rows: float) -> Program:
        value = torch.tensor(1.0)
        yield AllToAll("x", value, sends=[rows], takes=[rows])  # type: ignore[list-item]

    with pytest.raises(ScheduleError, match="0 rows in all, but its value is scalar:float32"):
        toy([program(0)], LINKS)
    with pytest.raises(ScheduleError, match="float"):
        toy([program(0.5)], LINKS)


def test_a_pair_that_does_not_agree_is_refused_with_both_numbers() -> None:
    """Rank 2 sends rank 1 four rows, and rank 1 takes three."""

    def program(rank: int) -> Program:
        yield At(0, 5)
        op = mine(ROWS, rank)
        if rank == 1:
            op.takes = (1, 9, 3)
        yield op

    with pytest.raises(
        ScheduleError,
        match=r"rank 2 has all_to_all 'x' \(step 0, layer 5\) with 4 rows for rank 1, rank 1 has "
        r"all_to_all 'x' \(step 0, layer 5\) with 3 rows from rank 2; both must name the same",
    ):
        toy([program(rank) for rank in range(3)], LINKS, steps=1)


@pytest.mark.parametrize("plain", [0, 1])
def test_all_ranks_say_sizes_or_none_does(plain: int) -> None:
    """Whichever comes first."""

    def program(rank: int) -> Program:
        value = Blob(4, (4,), "uint8")
        sizes = None if rank == plain else (2, 2)
        yield AllToAll("x", value, sends=sizes, takes=sizes)

    message = f"rank {1 - plain} has .* with sends and takes, rank {plain} has .* without"
    with pytest.raises(ScheduleError, match=message):
        toy([program(0), program(1)], LINKS)


@pytest.mark.parametrize("value", [Blob(3, (3, 1), "int8"), Blob(6, (3, 2), "uint8")], ids=str)
def test_values_may_differ_in_the_first_dimension_and_in_no_other(value: Blob) -> None:
    """Nor in type, as for every transfer."""

    def program(own: Blob) -> Program:
        rows = own.shape[0]
        yield AllToAll("x", own, sends=[rows - 1, 1], takes=[rows - 1, 1])

    other = Blob(2, (2, 1), "uint8")
    with pytest.raises(ScheduleError, match=r"transfers do not match: .* of 2x1:uint8, rank 1"):
        toy([program(other), program(value)], LINKS)


def test_other_collectives_and_equal_parts_match_as_before() -> None:
    """An all-gather does not join; and equal parts need equal lengths."""

    def program(rank: int, *, gather: bool) -> Program:
        value = Blob(4 - 2 * rank, (4 - 2 * rank,), "uint8")
        yield AllGather("x", value) if gather and rank else AllToAll("x", value)

    for gather in (False, True):
        with pytest.raises(ScheduleError, match="transfers do not match"):
            toy([program(rank, gather=gather) for rank in range(2)], LINKS)


def test_what_live_ranks_said_is_held_against_each_other() -> None:
    """In the order of each communicator, whatever else went on between."""
    world, pair = Group((0, 1, 2)), Group((0, 2), "pair")
    rows = [Said(world, f"'{i}'", ROWS[i], tuple(row[i] for row in ROWS)) for i in range(3)]
    ends = [Said(pair, "'p'", (1, 2), (1, 4)), Said(pair, "'p'", (4, 3), (2, 3))]
    said = [[rows[0], ends[0], rows[0]], [rows[1], rows[1]], [ends[1], rows[2], rows[2]]]
    check_agreement(said)
    said[2][2] = Said(world, "'last'", (0, 5, 9), (2, 0, 9))
    with pytest.raises(ScheduleError, match="2 sent 5 rows of 'last' to rank 1, which took 4 of"):
        check_agreement(said)


def run_script(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script of live/ in a Python of its own."""
    command = [sys.executable, str(LIVE / name), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


@pytest.mark.slow
@pytest.mark.timeout(300)  # it starts processes three times
@settings(max_examples=2, phases=[Phase.explicit, Phase.generate])
@given(
    st.integers(2, 4).flatmap(lambda ranks: st.lists(matrices(ranks), min_size=4, max_size=6)),
)
@example([[[1, 2, 3, 0], [0, 5, 0, 0], [0] * 4, [7, 1, 0, 2]], [[0] * 4] * 4, [[9] * 4] * 4])
def test_processes_get_the_same_rows_as_one_process(
    tmp_path_factory: pytest.TempPathFactory, sizes: list[list[list[int]]]
) -> None:
    """Over gloo, for any sizes, none included; and what was measured replays on what was."""
    folder = tmp_path_factory.mktemp("parts")
    done = run_script("parts.py", str(folder), json.dumps(sizes))
    assert done.returncode == 0, done.stderr
    live, local = Trace.open(folder / "live"), Trace.open(folder / "local")
    np.testing.assert_array_equal(live.activations("got"), local.activations("got"))
    assert live.ops["parts"].tolist() == local.ops["parts"].tolist()
    again = replay(live, RecordedNetwork.from_trace(live))
    ends = (trace.ops["end_s"].max() for trace in (again, live))
    assert math.isclose(*ends, rel_tol=0.05)


@pytest.mark.slow
def test_a_live_rank_that_takes_more_rows_than_it_is_sent_is_found_out(tmp_path: Path) -> None:
    """The backend says nothing, and a dry run on meta tensors does not know."""
    done = run_script("unlike.py", str(tmp_path / "t"))
    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith(
        "rank 0 sent 2 rows of all_to_all 'x' (step 1) to rank 1, which took 3 of all_to_all 'x' "
        "(step 1): what came of it is not to be used"
    )
