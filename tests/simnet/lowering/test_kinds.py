"""Every kind of transfer is lowered to what the simulator makes of the schedule itself."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from simnet.costs import Roofline
from simnet.devices import device
from simnet.drivers.simulated import simulate
from simnet.job import Job
from simnet.lowering.evaluate import Evaluated
from simnet.lowering.lower import lower
from simnet.lowering.price import price
from simnet.lowering.simulate import simulate_graph
from simnet.lowering.store import load, save
from simnet.network.collectives.named import selection
from simnet.network.network import Network
from simnet.network.topology import Links
from simnet.ops import (
    TRANSFERS,
    AllGather,
    AllReduce,
    AllToAll,
    At,
    Barrier,
    Compute,
    Gather,
    Group,
    Program,
    Recv,
    ReduceScatter,
    Rooted,
    Scatter,
    Send,
    Transfer,
    Wait,
)
from simnet.schedules.named import schedule

#: Ranks 1 and 3 of four: not the first ones, and with a root that is not the first of them.
SOME = Group((1, 3), "some")


def asked(kind: type[Transfer], value: Any, rank: int, group: Group | None) -> Transfer:
    """A transfer of this kind by a rank of the group, None for all four."""
    ranks = group.ranks if group else (0, 1, 2, 3)
    if kind is Barrier:
        return Barrier("x", group)
    if issubclass(kind, Rooted):
        return kind("x", value, ranks[1], group)
    if kind is Send or kind is Recv:  # from the first to the last
        if rank == ranks[0]:
            return Send("x", value, ranks[-1], group)
        return Recv("x", value, ranks[0], group)
    return kind("x", value, group=group)


def toy(kind: type[Transfer], group: Group | None) -> Any:
    """A schedule of one step that transfers twice, and computes on all that it is brought."""
    ranks = group.ranks if group else (0, 1, 2, 3)
    ends = (ranks[0], ranks[-1]) if kind in (Send, Recv) else ranks

    def program(_: Any, job: Job, rank: int) -> Program:
        value = job.latent[0, :8]
        yield At(0)
        for _ in range(2):
            yield Compute(value.__add__, value)
            if rank not in ends:
                continue
            brought = yield Wait((yield asked(kind, value, rank, group)))
            for part in brought if isinstance(brought, list) else [brought]:
                if part is not None:
                    yield Compute(part.__mul__, part)

    ring: Any = schedule("ring")
    made = {"__call__": program, "check": lambda *_: None, "name": "ring"}
    return type("Toy", (type(ring),), made)()


@pytest.mark.parametrize("group", [None, SOME], ids=["all", "some"])
@pytest.mark.parametrize("kind", TRANSFERS, ids=lambda kind: kind.kind)
def test_a_kind_is_lowered_as_it_is_simulated(
    kind: type[Transfer],
    group: Group | None,
    agree: Callable[..., Evaluated],
    tmp_path: Path,
) -> None:
    """Row by row, with what it brings; the vectorised evaluator agrees, and a file has all."""
    job, cost = Job("dit-tiny", ranks=4, steps=1), Roofline(device("l20"))
    graph = lower(toy(kind, group), job)
    cost_s = price(graph, cost)
    for name in ("ring", "gloo"):
        links = Links("slow", 2e7, 1e-4, collectives=selection(name))
        direct = simulate(toy(kind, group), job, cost, links)
        share = cost.transfer_share
        again = simulate_graph(graph, cost_s.tolist(), links, transfer_share=share)
        assert again.ops.equals(direct.ops)
        fast: list[Network] = [links, Links("fast", 1e10, 1e-6, collectives=links.collectives)]
        found = agree(graph, cost_s + 1e-5, fast)
        assert set(found.why) <= {"messages that share a side of a link"}
    save(graph, tmp_path / "kind.graph")
    assert load(tmp_path / "kind.graph").same(graph)


@pytest.mark.parametrize("kind", [AllGather, AllToAll, AllReduce, ReduceScatter, Gather, Scatter])
def test_what_a_collective_brings_is_what_all_members_would_make(kind: Any) -> None:
    """As many values as there are members, of the shapes that delivery gives; they are one."""
    met: list[Any] = []

    def program(_: Any, job: Job, rank: int) -> Program:
        yield At(0)
        value = job.latent[0, :8]
        op = kind("x", value, 1) if issubclass(kind, Rooted) else kind("x", value)
        met.append(((yield Wait((yield op))), op.deliver([op] * 4)[rank]))

    ring: Any = schedule("ring")
    made = {"__call__": program, "check": lambda *_: None, "name": "ring"}
    lower(type("Toy", (type(ring),), made)(), Job("dit-tiny", ranks=4, steps=1))
    for ours, theirs in met:
        assert [each.shape for each in _listed(ours)] == [each.shape for each in _listed(theirs)]
        assert len({id(each) for each in _listed(ours)}) <= 1
    assert len(met) == 4


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]
