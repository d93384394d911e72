"""The first network against closed forms: full-duplex links, a latency, a rate, and turns."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import simpy

from simnet.drivers.replay import Blob
from simnet.network.collectives import LOWERED
from simnet.network.links import Links
from simnet.network.network import Exchange, Line
from simnet.network.presets import NETWORKS, network
from simnet.ops import (
    AllGather,
    AllReduce,
    AllToAll,
    Program,
    Recv,
    Send,
    Shift,
    Transfer,
    Wait,
    wire_bytes,
)
from traces.errors import InputError
from traces.operation import Operation

Play = Callable[..., list[Operation]]
Sized = Callable[[int], Blob]

LATENCY_S, BYTES_PER_S = 0.25, 64.0
LINKS = Links("test", rate_bps=8 * BYTES_PER_S, latency_s=LATENCY_S)


def took(links: Links, kind: str, ranks: int, nbytes: int) -> float:
    """How long one exchange takes on idle links until its last member is done."""
    env = simpy.Environment()
    members = tuple(range(ranks))
    links.traffic(env).carry(Exchange(kind, members, nbytes, Line("world", members), 0))
    env.run()
    return float(env.now)


@pytest.mark.parametrize("ranks", [2, 3, 4, 8])
@pytest.mark.parametrize("nbytes", [0, 24, 960])
def test_idle_collectives_take_what_the_literature_says(ranks: int, nbytes: int) -> None:
    """Thakur et al. 2005: rounds times latency plus bytes over rate."""

    def rounds(count: int, each: float) -> float:
        return count * (LATENCY_S + each / BYTES_PER_S)

    others = ranks - 1
    assert took(LINKS, "all_gather", ranks, nbytes) == pytest.approx(rounds(others, nbytes))
    share = nbytes / ranks
    assert took(LINKS, "all_reduce", ranks, nbytes) == pytest.approx(rounds(2 * others, share))
    assert took(LINKS, "all_to_all", ranks, nbytes) == pytest.approx(rounds(others, share))


def test_a_message_takes_its_latency_and_its_bytes_over_the_rate() -> None:
    """One flow on an idle link."""
    assert took(LINKS, "send", 2, 128) == LATENCY_S + 2.0


@pytest.mark.parametrize("kind", ["all_gather", "all_reduce", "all_to_all"])
@pytest.mark.parametrize("ranks", [1, 2, 3, 5])
def test_what_is_lowered_is_what_goes_on_the_wire(kind: str, ranks: int) -> None:
    """Per member, the flows' bytes are the operation's wire_bytes; what is sent is received."""
    transfers: dict[str, type[Transfer]] = {
        "all_gather": AllGather, "all_reduce": AllReduce, "all_to_all": AllToAll,
    }  # fmt: skip
    nbytes = 60
    sent, received = [0.0] * ranks, [0.0] * ranks
    for flows in LOWERED[kind](range(ranks), nbytes):
        for src, dst, size in flows:
            sent[src] += size
            received[dst] += size
    expected = wire_bytes(transfers[kind]("x", Blob(nbytes, (nbytes,), "uint8")), ranks)
    assert sent == received == pytest.approx([expected] * ranks)


def test_both_directions_of_a_link_go_at_the_same_time(toy: Play, blob: Sized) -> None:
    """Full duplex: a shift of two ranks takes as long as one message."""

    def program() -> Program:
        yield Wait((yield Shift("x", blob(64))))

    waits = [op for op in toy([program(), program()], LINKS) if op.kind == "wait"]
    assert {op.end_s for op in waits} == {LATENCY_S + 1.0}


def test_two_senders_to_one_receiver_take_turns(toy: Play, blob: Sized) -> None:
    """Its side of the link is shared; the latency is not paid twice."""

    def sender() -> Program:
        yield Wait((yield Send("x", blob(64), 2)))

    def receiver() -> Program:
        one = yield Recv("x", blob(64), 0)
        two = yield Recv("x", blob(64), 1)
        yield Wait(one)
        yield Wait(two)

    waits = [op for op in toy([sender(), sender(), receiver()], LINKS) if op.rank == 2]
    assert [op.end_s for op in waits if op.kind == "wait"] == [1.0 + LATENCY_S, 2.0 + LATENCY_S]


@pytest.mark.parametrize(
    ("rate_bps", "latency_s", "field"),
    [
        (0.0, 0.0, "rate_bps"),
        (-1.0, 0.0, "rate_bps"),
        (math.nan, 0.0, "rate_bps"),
        (1.0, -5.0, "latency_s"),
        (1.0, math.nan, "latency_s"),
        (1.0, math.inf, "latency_s"),
    ],
)
def test_links_that_cannot_be_are_refused(rate_bps: float, latency_s: float, field: str) -> None:
    """With the network's name and the field at fault."""
    with pytest.raises(InputError, match=f"'odd': {field}"):
        Links("odd", rate_bps, latency_s)


def test_an_unknown_network_is_answered_with_the_nearest_name() -> None:
    """And with all the others."""
    with pytest.raises(InputError, match="did you mean 'ethernet-1g'") as failure:
        network("ethernet1g")
    assert all(name in str(failure.value) for name in NETWORKS)


def test_one_sender_to_two_receivers_sends_one_after_the_other(toy: Play, blob: Sized) -> None:
    """Its side of the link is shared; a send is complete when it has left, before it arrives."""

    def sender() -> Program:
        one = yield Send("x", blob(64), 1)
        two = yield Send("x", blob(64), 2)
        yield Wait(one)
        yield Wait(two)

    def receiver() -> Program:
        yield Wait((yield Recv("x", blob(64), 0)))

    waits = [op for op in toy([sender(), receiver(), receiver()], LINKS) if op.kind == "wait"]
    ends = [(op.rank, op.end_s) for op in waits]
    assert ends == [(0, 1.0), (0, 2.0), (1, 1.0 + LATENCY_S), (2, 2.0 + LATENCY_S)]


def test_a_round_begins_at_a_rank_when_its_last_one_ended(toy: Play, blob: Sized) -> None:
    """A link that is busy with something else holds up the whole ring behind it."""

    def program(rank: int) -> Program:
        if rank == 0:
            yield Send("big", blob(640), 1)
        if rank == 1:
            yield Recv("big", blob(640), 0)
        yield Wait((yield AllGather("x", blob(64))))

    waits = [op for op in toy([program(rank) for rank in range(3)], LINKS) if op.kind == "wait"]
    # 0 to 1 is free after 10 s; the second round needs what came by it in the first.
    assert max(op.end_s for op in waits) == 10.0 + 2 * (1.0 + LATENCY_S)
