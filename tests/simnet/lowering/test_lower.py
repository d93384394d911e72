"""Lowering: what a graph holds, and that it is what the simulator plays."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from simnet.costs import Roofline
from simnet.devices import device
from simnet.drivers.simulated import simulate
from simnet.job import Job
from simnet.lowering.graph import COMPUTE, MOVE, WAIT, Graph
from simnet.lowering.lower import lower
from simnet.lowering.price import price
from simnet.lowering.simulate import simulate_graph
from simnet.network.presets import NETWORKS, network
from simnet.network.topology import Links
from simnet.ops import AllToAll, At, Compute, Program, Recv, Send, Shift, Wait
from simnet.schedules.named import schedule
from traces.errors import InputError, ScheduleError

SLOW = Links("slow", 2e7, 1e-4)
EVERY = [
    ("single", 1, "dit-tiny"),
    ("ring", 4, "dit-tiny"),
    ("ring/residual-1bit", 4, "mmdit-tiny"),
    ("ulysses/int8", 2, "dit-tiny"),
    ("usp:ulysses=2", 4, "crossdit-tiny"),
    ("patch", 4, "dit-tiny"),
    ("distrifusion", 4, "dit-tiny"),
    ("pipefusion", 4, "skipdit-tiny"),
    ("cfg+ring", 4, "crossdit-tiny"),
    ("cfg+pipefusion:warmup_steps=2", 8, "crossdit-tiny"),
    ("data+ring", 4, "dit-tiny"),
    ("expert", 4, "dit-moe-tiny"),
    ("interweaved", 2, "dit-moe-tiny"),
    ("dice", 4, "dit-moe-tiny"),
]


def lowered(programs: Callable[[Any, Job, int], Iterator[Any]], ranks: int = 2) -> Graph:
    """Of a toy schedule, in the place of another's name."""
    ring: Any = schedule("ring")
    kind = type(
        "Toy", (type(ring),), {"__call__": programs, "check": lambda *_: None, "name": "ring"}
    )
    return lower(kind(), Job("dit-tiny", ranks=ranks, steps=1))


@pytest.mark.parametrize(("text", "ranks", "model"), EVERY)
def test_a_replayed_graph_is_the_simulated_schedule_row_by_row(
    text: str, ranks: int, model: str
) -> None:
    """Every column of both traces, and what they are of."""
    job, cost = Job(model, ranks=ranks, steps=3), Roofline(device("l20"))
    graph = lower(schedule(text), job)
    direct = simulate(schedule(text), job, cost, SLOW, outside_s=0.25)
    ours = simulate_graph(
        graph,
        price(graph, cost).tolist(),
        SLOW,
        transfer_share=cost.transfer_share,
        outside_s=0.25,
        device=cost.name,
    )
    assert ours.ops.equals(direct.ops)
    assert ours.run == direct.run


@pytest.mark.parametrize("name", ["shared-bucket-16g", "hosts-of-4-ethernet-10g", "l20-pcie4"])
def test_it_can_be_replayed_on_any_network(name: str) -> None:
    """With contention, and routes of several links."""
    assert name in NETWORKS
    job, cost = Job("dit-tiny", ranks=4, steps=2), Roofline(device("l4"))
    graph = lower(schedule("usp:ulysses=2"), job)
    direct = simulate(schedule("usp:ulysses=2"), job, cost, network(name))
    share = cost.transfer_share
    ours = simulate_graph(graph, price(graph, cost).tolist(), network(name), transfer_share=share)
    assert ours.ops.equals(direct.ops)


def test_operations_refer_to_distinct_calls_and_moves() -> None:
    """Ring attention on two ranks: six layers, one hop."""
    graph = lower(schedule("ring"), Job("dit-tiny", ranks=2, steps=2))
    names = [
        graph.calls[what].name
        for what in graph.what[graph.rows(0)][graph.kind[graph.rows(0)] == COMPUTE]
    ]
    assert names[:6] == ["condition", "embed", "project", "attend", "attend_more", "finish"]
    assert len(graph.calls) == len(set(graph.calls)) == 8
    [move] = graph.moves
    assert (move.kind, move.name, move.peer, move.group.ranks) == ("shift", "kv", 1, (0, 1))
    counts = [int((graph.kind == kind).sum()) for kind in (COMPUTE, WAIT, MOVE)]
    assert counts == [2 * 2 * 28, 2 * 2 * 6, 2 * 2 * 6]
    assert graph.computes.sum() == counts[0]
    assert len(graph.exchanges) == 2 * counts[2] / 2


def test_costs_are_those_of_the_cost_model() -> None:
    """One for each call, in their order."""
    graph = lower(schedule("ring"), Job("dit-tiny", ranks=2, steps=1))
    cost = Roofline(device("l4"))
    assert price(graph, cost).tolist() == [cost.seconds(call) for call in graph.calls]


def test_a_graph_is_the_same_each_time() -> None:
    """To the bit."""
    one, other = (
        lower(schedule("cfg+usp"), Job("crossdit-tiny", ranks=4, steps=2)) for _ in range(2)
    )
    assert one.same(other)
    assert not one.same(lower(schedule("cfg+usp"), Job("crossdit-tiny", ranks=4, steps=1)))


def _value(job: Job, tokens: int = 4) -> Any:
    return job.latent[:, :tokens]


def test_ranks_that_wait_for_each_other_are_a_deadlock() -> None:
    """Each receives before it sends."""

    def program(_: Any, job: Job, rank: int) -> Program:
        yield At(0)
        yield Wait((yield Recv("x", _value(job), 1 - rank)))
        yield Send("x", _value(job), 1 - rank)

    with pytest.raises(ScheduleError, match=r"deadlock[^$]*rank 0 waits for recv 'x' \(step 0"):
        lowered(program)


def test_a_transfer_that_nobody_joins_is_named() -> None:
    """With who did not."""

    def program(_: Any, job: Job, rank: int) -> Program:
        yield At(0)
        if not rank:
            yield Send("x", _value(job), 1)

    with pytest.raises(ScheduleError, match=r"rank 0 has send 'x'[^$]*rank 1 did not join"):
        lowered(program)


def test_transfers_of_other_shapes_do_not_match() -> None:
    """Nor do those of other names."""

    def shapes(_: Any, job: Job, rank: int) -> Program:
        yield At(0)
        yield Shift("x", _value(job, 4 + 4 * rank))

    with pytest.raises(ScheduleError, match=r"transfers do not match: rank 0 .*rank 1 "):
        lowered(shapes)

    def names(_: Any, job: Job, rank: int) -> Program:
        yield At(0)
        yield Shift(f"x{rank}", _value(job))

    with pytest.raises(ScheduleError, match="transfers do not match"):
        lowered(names)


def test_parts_that_differ_must_agree() -> None:
    """What one takes is what the other sends."""

    def program(_: Any, job: Job, rank: int) -> Program:
        yield At(0)
        value = job.latent[0, :4]
        takes = [2, 2] if rank else [2, 3]
        yield Wait((yield AllToAll("x", value, sends=[2, 2], takes=takes)))

    with pytest.raises(ScheduleError, match="what rank 0 has all_to_all 'x'"):
        lowered(program)


def test_steps_that_are_left_out_and_strange_operations_are_refused() -> None:
    """As the simulator does."""

    def short(_: Any, job: Job, rank: int) -> Program:
        del job, rank
        return None
        yield

    def strange(_: Any, job: Job, rank: int) -> Iterator[Any]:
        del job, rank
        yield "compute"

    def wrong(_: Any, job: Job, rank: int) -> Program:
        del job, rank
        yield At(0)
        yield Compute(lambda: 1 / 0)

    with pytest.raises(ScheduleError, match="rank 0 ended after 0 of 1 steps"):
        lowered(short)
    with pytest.raises(ScheduleError, match="cannot be lowered"):
        lowered(strange)
    with pytest.raises(ScheduleError, match="rank 0, step 0: the schedule itself failed"):
        lowered(wrong)


def test_a_schedule_that_cannot_run_the_job_is_refused() -> None:
    """Before anything else."""
    with pytest.raises(InputError, match="tokens"):
        lower(schedule("ring"), Job("dit-tiny", ranks=7, steps=1))


def test_costs_must_be_one_for_each_call(small: Callable[..., Graph]) -> None:
    """Else they are of another graph."""
    costs: NDArray[np.float64] = np.ones(3)
    with pytest.raises(InputError, match="3 costs, expected 8: one for each call"):
        simulate_graph(small("ring"), costs.tolist(), SLOW)
