"""Laws of exchanges on networks: where a faster link never hurts, and where it may."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import simpy
from hypothesis import given
from hypothesis import strategies as st

from simnet.drivers.engine import Work, play
from simnet.drivers.observer import Observer
from simnet.drivers.replay import Blob
from simnet.network.carriage import Carrier
from simnet.network.collectives.selection import RING, Selection
from simnet.network.fluid import Fluid, Side
from simnet.network.path import Hop, Path
from simnet.ops import AllGather, AllReduce, AllToAll, Compute, Program, Transfer, Wait


@dataclass(frozen=True)
class Uneven:
    """Every rank on a link of its own, each side of it with its own rate."""

    out_bps: tuple[float, ...]
    in_bps: tuple[float, ...]
    latency_s: float
    name: str = "uneven"
    collectives: Selection = RING

    def path(self, src: int, dst: int) -> Path:
        """Out of one link and into another."""
        hops = Hop(f"{src} out", self.out_bps[src]), Hop(f"{dst} in", self.in_bps[dst])
        return Path(hops, self.latency_s)

    def traffic(self, env: simpy.Environment) -> Carrier:
        """All links idle."""
        return Carrier(self, env)


@dataclass(frozen=True)
class Turn:
    """One collective that all ranks ask for, each after it has computed for so long."""

    transfer: type[Transfer]
    nbytes: int
    costs_s: tuple[float, ...]


def nothing(cost_s: float) -> None:
    """What ranks compute."""


def took(op: Compute) -> Work:
    """Its argument says how long it takes."""
    return Work(None, "nothing", "", op.args[0])


def program(rank: int, turns: Sequence[Turn]) -> Program:
    """Each collective is waited for one turn later, so that two of them are under way."""
    tickets = []
    for turn in turns:
        yield Compute(nothing, turn.costs_s[rank])
        tickets.append((yield turn.transfer("x", Blob(turn.nbytes, (turn.nbytes,), "uint8"))))
        if len(tickets) > 1:
            yield Wait(tickets[-2])
    yield Wait(tickets[-1])


def ends_s(turns: Sequence[Turn], network: Uneven) -> list[float]:
    """Of every row of every rank."""
    programs = [program(rank, turns) for rank in range(len(network.out_bps))]
    return [row.end_s for row in play(programs, 0, took, network, Observer())[0]]


RATES = st.sampled_from([8.0, 16.0, 80.0]) | st.floats(1, 100)


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[Turn], Uneven]:
    """A few ranks on unlike links, and a few collectives one after the other."""
    ranks = draw(st.integers(2, 5))
    rates = st.lists(RATES, min_size=ranks, max_size=ranks).map(tuple)
    turn = st.builds(
        Turn,
        transfer=st.sampled_from([AllGather, AllReduce, AllToAll]),
        nbytes=st.integers(0, 8).map(lambda n: 60 * n),  # a whole number for each of 2 to 5 ranks
        costs_s=st.lists(st.floats(0, 5), min_size=ranks, max_size=ranks).map(tuple),
    )
    network = st.builds(Uneven, rates, rates, st.sampled_from([0.0, 0.25]) | st.floats(0, 2))
    return draw(st.lists(turn, min_size=1, max_size=4)), draw(network)


@given(worlds(), st.data())
def test_with_the_order_fixed_and_links_of_their_own_a_faster_side_delays_nothing(
    world: tuple[list[Turn], Uneven], data: st.DataObject
) -> None:
    """One communicator's collectives: no flow ever shares a side, so each end is a sum of maxima.

    Each side may become faster by a factor of its own; most of them by none.
    """
    turns, network = world
    factor = st.just(1.0) | st.floats(1, 10)
    sides = [*network.out_bps, *network.in_bps]
    faster = [rate * data.draw(factor) for rate in sides]
    ranks = len(network.out_bps)
    raised = Uneven(tuple(faster[:ranks]), tuple(faster[ranks:]), network.latency_s)
    before, after = ends_s(turns, network), ends_s(turns, raised)
    assert all(new <= old * (1 + 1e-12) for old, new in zip(before, after, strict=True))


def test_where_flows_share_a_faster_side_may_delay_another_flow() -> None:
    """The law's domain ends there: what held one flow back had left more for the other."""

    def end_s(own_bps: float) -> float:
        env = simpy.Environment()
        fluid, own, shared = Fluid(env), Side("own", own_bps), Side("shared", 10.0)
        fluid.start([own, shared], 1000)
        other = fluid.start([shared], 90)
        env.run(until=other)
        return float(env.now)

    assert end_s(own_bps=1.0) == 10.0
    assert end_s(own_bps=5.0) == 18.0
