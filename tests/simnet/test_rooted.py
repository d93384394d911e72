"""Broadcast, reduce, gather, scatter, reduce-scatter and barrier: values, rows, bytes and times."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from simnet.drivers.engine import Work, play
from simnet.drivers.observer import Observer
from simnet.drivers.replay import replay
from simnet.network.collectives.named import SELECTIONS, selection
from simnet.network.network import Network
from simnet.network.recorded import RecordedNetwork
from simnet.network.topology import Links
from simnet.ops import (
    At,
    Barrier,
    Broadcast,
    Compute,
    Gather,
    Group,
    Program,
    Reduce,
    ReduceScatter,
    Scatter,
    Transfer,
    Wait,
)
from traces.columns import COLLECTIVES, KINDS, MESSAGES
from traces.errors import ScheduleError
from traces.join import join
from traces.operation import Operation, table
from traces.run import Run
from traces.trace import Trace
from traces.wire import wire_bytes

LIVE = Path(__file__).parent / "live"
#: A byte takes a second, and then a quarter of one to arrive.
LATENCY_S = 0.25
Asks = Callable[[torch.Tensor], Transfer]


def links(collectives: str = "ring") -> Links:
    """A link each, with these algorithms."""
    return Links("links", 8.0, LATENCY_S, collectives=selection(collectives))


def played(programs: Sequence[Program], network: Network, steps: int = 0) -> list[Operation]:
    """Their operations; a compute takes as many seconds as its argument says."""

    def machine(op: Compute) -> Work:
        return Work(op.fn(*op.args), "noted", "", 0.0)

    return play(programs, steps, machine, network, Observer())[0]


def got(ask: Asks, ranks: int, members: Sequence[int] | None = None) -> dict[int, object]:
    """By rank, what a transfer brings; values are six numbers from 10 times the rank on."""
    seen = {}

    def plain(value: object) -> object:
        if isinstance(value, list):
            return [plain(one) for one in value]
        return value.tolist() if isinstance(value, torch.Tensor) else value

    def program(rank: int) -> Program:
        ticket = yield ask(torch.arange(6) + 10 * rank)
        value = yield Wait(ticket)
        seen[rank] = plain(value)

    def nothing() -> Program:
        return
        yield

    asked = range(ranks) if members is None else members
    played([program(rank) if rank in asked else nothing() for rank in range(ranks)], links())
    return seen


def test_each_kind_brings_what_it_says() -> None:
    """In a world of three, and in a group of which the root is not the first."""
    root = list(range(20, 26))
    total = [30 + 3 * i for i in range(6)]
    assert got(lambda x: Broadcast("x", x, 2), 3) == {0: root, 1: root, 2: root}
    assert got(lambda x: Reduce("x", x, 1), 3) == {0: None, 1: total, 2: None}
    assert got(lambda x: Scatter("x", x, 2), 3) == {0: root[:2], 1: root[2:4], 2: root[4:]}
    assert got(lambda x: ReduceScatter("x", x), 3) == {0: total[:2], 1: total[2:4], 2: total[4:]}
    assert got(lambda _: Barrier(), 3) == {0: None, 1: None, 2: None}
    pair = Group((1, 3), "pair")
    first, last = list(range(10, 16)), list(range(30, 36))
    gathered = got(lambda x: Gather("x", x, 3, pair), 4, pair.ranks)
    assert gathered == {1: None, 3: [first, last]}
    assert got(lambda x: Broadcast("x", x, 3, pair), 4, pair.ranks) == {1: last, 3: last}


def asks(value: torch.Tensor) -> list[Transfer]:
    """One of each, with rank 1 as the root."""
    return [
        Broadcast("b", value, 1),
        Reduce("r", value, 1),
        Gather("g", value, 1),
        Scatter("s", value, 1),
        ReduceScatter("rs", value),
        Barrier(),
    ]


def everything(ranks: int = 3) -> Trace:
    """One of each, on six bytes."""

    def program() -> Program:
        yield At(0)
        for op in asks(torch.zeros(6, dtype=torch.uint8)):
            yield Wait((yield op))

    run = Run("toy", "toy", ranks, 1, "simulated", "toy", "links")
    return Trace(run, table(played([program() for _ in range(ranks)], links(), steps=1)))


def test_rows_say_who_the_root_is_and_what_each_rank_sends(tmp_path: Path) -> None:
    """`src` where the value comes from it, `dst` where it goes there; and they survive the disk."""
    trace = everything()
    trace.save(tmp_path / "t")
    rows = Trace.open(tmp_path / "t").ops.query("stream != 'compute'")
    roots = rows.groupby("kind")[["src", "dst"]].first().to_dict("index")
    assert roots == {
        "broadcast": {"src": 1, "dst": -1},
        "scatter": {"src": 1, "dst": -1},
        "reduce": {"src": -1, "dst": 1},
        "gather": {"src": -1, "dst": 1},
        "reduce_scatter": {"src": -1, "dst": -1},
        "barrier": {"src": -1, "dst": -1},
    }
    sent = rows.pivot_table(index="kind", columns="rank", values="wire_bytes")
    assert {
        str(kind): list(row) for kind, row in zip(sent.index, sent.to_numpy(), strict=True)
    } == {
        "barrier": [0, 0, 0],
        "broadcast": [0, 6, 6],  # a chain from rank 1 by way of rank 2
        "gather": [6, 0, 6],
        "reduce": [6, 0, 6],
        "reduce_scatter": [4, 4, 4],
        "scatter": [0, 4, 0],
    }
    assert set(rows.loc[rows["kind"] == "barrier", "shape"]) == {""}


@pytest.mark.parametrize("name", SELECTIONS)
def test_a_replay_on_the_same_network_is_the_same_and_on_the_recorded_one_too(name: str) -> None:
    """To the bit, and up to rounding."""
    trace = everything()
    there = replay(trace, links(name))
    pd.testing.assert_frame_equal(replay(there, links(name)).ops, there.ops, check_exact=True)
    again = replay(there, RecordedNetwork.from_trace(there))
    np.testing.assert_allclose(again.ops["end_s"], there.ops["end_s"], rtol=1e-12)


def ends_s(ask: Asks, network: Network, ranks: int = 4) -> list[float]:
    """When each rank is through with a transfer of four bytes."""

    def program() -> Program:
        yield Wait((yield ask(torch.zeros(4, dtype=torch.uint8))))

    operations = played([program() for _ in range(ranks)], network)
    return [op.end_s for op in operations if op.kind == "wait"]


def test_a_root_is_the_first_of_its_algorithm_wherever_it_stands_in_the_group() -> None:
    """The chain of rank 2 goes 2, 3, 0, 1; what goes to it goes back that way."""
    assert ends_s(lambda x: Broadcast("x", x, 2), links()) == [12.5, 12.75, 4.0, 8.25]
    assert ends_s(lambda x: Reduce("x", x, 2), links()) == [8.25, 4.0, 12.75, 12.5]
    assert ends_s(lambda x: Gather("x", x, 2), links()) == [12.0, 12.0, 12.25, 12.0]
    assert ends_s(lambda x: Scatter("x", x, 2), links()) == [3.25, 3.25, 3.0, 3.25]


def test_a_barrier_takes_latencies_and_no_bytes() -> None:
    """lg n of them by dissemination; NCCL's is an all-reduce of one float."""
    assert ends_s(lambda _: Barrier(), links()) == [2 * LATENCY_S] * 4
    assert max(ends_s(lambda _: Barrier(), links("ring,barrier=tree"))) == 4 * LATENCY_S
    nccl_s = max(ends_s(lambda _: Barrier(), links("nccl")))
    assert 6 < nccl_s < 24


def test_gloo_reduces_by_scattering_and_nccl_by_a_chain_in_chunks() -> None:
    """Three parts round the ring, and three more that the root collects; or a full pipeline."""
    gloo_s = max(ends_s(lambda x: Reduce("x", x, 2), links("gloo")))
    assert gloo_s == 3 * (1 + LATENCY_S) + 3 + LATENCY_S
    free = Links("free", 8.0, 0.0, collectives=selection("nccl"))
    assert max(ends_s(lambda x: Reduce("x", x, 2), free)) == pytest.approx(4 * (1 + 2 / 256))


@pytest.mark.parametrize(
    ("mine", "said"),
    [
        (lambda rank, x: Broadcast("x", x, rank), "the roots are rank 0 and rank 1"),
        (lambda _, x: Broadcast("x", x, 5), "the root of broadcast 'x' is rank 5; expected one of"),
        (lambda rank, x: Barrier() if rank else Gather("x", x, 0), "the same kind of collective"),
        (lambda rank, x: Reduce("x", x[rank:], 0), "of 4:uint8, rank 1 has reduce 'x' .* of 3:uin"),
        (lambda _, x: Scatter("x", x[1:], 0), "3:uint8 cannot be split evenly over 2 ranks"),
        (lambda _, x: ReduceScatter("x", x[1:]), "3:uint8 cannot be split evenly over 2 ranks"),
    ],
)
def test_ranks_that_disagree_are_told(
    mine: Callable[[int, torch.Tensor], Transfer], said: str
) -> None:
    """With both ranks, and the place."""

    def program(rank: int) -> Program:
        yield At(0)
        yield mine(rank, torch.zeros(4, dtype=torch.uint8))

    with pytest.raises(ScheduleError, match=said):
        played([program(0), program(1)], links(), steps=1)


@pytest.mark.parametrize("ranks", [1, 2, 3, 8])
@pytest.mark.parametrize("kind", sorted({*COLLECTIVES, *MESSAGES}))
def test_what_ranks_send_adds_up_to_the_least_there_is_to_move(kind: str, ranks: int) -> None:
    """For collectives of 24 bytes each, n ranks: the closed forms of docs/collectives.md."""
    others, members = ranks - 1, list(range(10, 10 + ranks))
    sent = [wire_bytes(kind, 24, members, rank, root=members[-1]) for rank in members]
    assert (
        sum(sent)
        == {
            "send": 24 * ranks * bool(others),
            "shift": 24 * ranks * bool(others),
            "recv": 0,
            "barrier": 0,
            "all_gather": 24 * ranks * others,
            "all_reduce": 48 * others,
            "all_to_all": 24 * others,
            "reduce_scatter": 24 * others,
            "broadcast": 24 * others,
            "reduce": 24 * others,
            "gather": 24 * others,
            "scatter": 24 * others // ranks,
        }[kind]
    )
    assert kind in KINDS


@pytest.mark.slow
def test_processes_get_the_same_values_as_one_process(tmp_path: Path) -> None:
    """Over gloo, of every kind, in the world and in a group whose root is not its first rank."""
    command = [sys.executable, str(LIVE / "rooted.py"), str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    live, local = Trace.open(tmp_path / "live"), Trace.open(tmp_path / "local")
    assert len(live.kept()) == 12
    for name in live.kept():
        np.testing.assert_array_equal(live.activations(name), local.activations(name))
    join(live, local)
    again = replay(live, RecordedNetwork.from_trace(live))
    assert again.ops["end_s"].max() == pytest.approx(live.ops["end_s"].max(), rel=0.05)
