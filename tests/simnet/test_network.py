"""Networks against closed forms: rates, latencies, and links that messages share."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import simpy

from simnet.drivers.replay import Blob
from simnet.network.collectives.selection import RING
from simnet.network.network import Exchange, Line, Network
from simnet.network.presets import NETWORKS, network
from simnet.network.topology import Islands, Links, Medium
from simnet.ops import (
    AllGather,
    AllReduce,
    AllToAll,
    Compute,
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


def took(network: Network, kind: str, ranks: int, nbytes: int) -> float:
    """How long one exchange takes on idle links until its last member is done."""
    env = simpy.Environment()
    members = tuple(range(ranks))
    since_s = (0.0,) * ranks
    network.traffic(env).carry(Exchange(kind, members, nbytes, Line("world", members), 0, since_s))
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
    for flows in RING.lowerings[kind](range(ranks), nbytes):
        for src, dst, size in flows:
            sent[src] += size
            received[dst] += size
    expected = wire_bytes(transfers[kind]("x", Blob(nbytes, (nbytes,), "uint8")), ranks, 0)
    assert sent == received == pytest.approx([expected] * ranks)


def test_both_directions_of_a_link_go_at_the_same_time(toy: Play, blob: Sized) -> None:
    """Full duplex: a shift of two ranks takes as long as one message."""

    def program() -> Program:
        yield Wait((yield Shift("x", blob(64))))

    waits = [op for op in toy([program(), program()], LINKS) if op.kind == "wait"]
    assert {op.end_s for op in waits} == {LATENCY_S + 1.0}


def test_two_senders_share_their_receiver_s_link(toy: Play, blob: Sized) -> None:
    """Each gets half of it; the latency is not paid twice."""

    def sender() -> Program:
        yield Wait((yield Send("x", blob(64), 2)))

    def receiver() -> Program:
        one = yield Recv("x", blob(64), 0)
        two = yield Recv("x", blob(64), 1)
        yield Wait(one)
        yield Wait(two)

    waits = [op for op in toy([sender(), sender(), receiver()], LINKS) if op.rank == 2]
    assert [op.end_s for op in waits if op.kind == "wait"] == [2.0 + LATENCY_S] * 2


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


def test_one_sender_shares_its_link_between_two_receivers(toy: Play, blob: Sized) -> None:
    """The smaller message is through first, and what is left then has the link to itself."""

    def sender() -> Program:
        one = yield Send("x", blob(64), 1)
        two = yield Send("y", blob(128), 2)
        yield Wait(one)
        yield Wait(two)

    def receiver(name: str, nbytes: int) -> Program:
        yield Wait((yield Recv(name, blob(nbytes), 0)))

    programs = [sender(), receiver("x", 64), receiver("y", 128)]
    waits = [op for op in toy(programs, LINKS) if op.kind == "wait"]
    ends = [(op.rank, op.end_s) for op in waits]
    # A send is complete when its last bit has left, before it arrives.
    assert ends == [(0, 2.0), (0, 3.0), (1, 2.0 + LATENCY_S), (2, 3.0 + LATENCY_S)]


def test_a_sender_waits_to_hear_that_its_receiver_is_ready(
    toy: Play, blob: Sized, busy: Callable[[float], Compute]
) -> None:
    """Rendezvous: a receiver that came early costs nothing, one that comes late its notice."""
    slow = Links("slow notice", rate_bps=8 * BYTES_PER_S, ready_s=0.5)

    def sends(delay_s: float) -> Program:
        yield busy(delay_s)
        yield Wait((yield Send("x", blob(64), to=1)))

    def receives(delay_s: float) -> Program:
        yield busy(delay_s)
        yield Wait((yield Recv("x", blob(64), source=0)))

    for sender_s, receiver_s, end_s in ((1.0, 0.0, 2.0), (0.0, 1.0, 2.5), (0.25, 0.0, 1.5)):
        rows = toy([sends(sender_s), receives(receiver_s)], slow)
        assert max(row.end_s for row in rows) == end_s


def test_a_message_slows_a_collective_on_the_link_that_they_share(toy: Play, blob: Sized) -> None:
    """And with it the whole ring, whose next round needs what came by that link."""

    def program(rank: int) -> Program:
        if rank == 0:
            yield Send("big", blob(640), 1)
        if rank == 1:
            yield Recv("big", blob(640), 0)
        yield Wait((yield AllGather("x", blob(64))))

    waits = [op for op in toy([program(rank) for rank in range(3)], LINKS) if op.kind == "wait"]
    assert max(op.end_s for op in waits) == 2 * (2.0 + LATENCY_S)  # at half the rate


def test_what_a_sender_does_for_each_message_is_a_term_of_its_own() -> None:
    """Paid in every round, beside latency and rate."""
    busy = Links("busy", rate_bps=8 * BYTES_PER_S, latency_s=LATENCY_S, message_s=0.5)
    assert took(busy, "send", 2, 64) == 0.5 + 1.0 + LATENCY_S
    assert took(busy, "all_gather", 4, 64) == 3 * (0.5 + 1.0 + LATENCY_S)


def test_a_medium_is_shared_by_everybody_in_both_directions() -> None:
    """A ring of n sends n times as much through it at once."""
    radio = Medium("radio", rate_bps=8 * BYTES_PER_S, latency_s=LATENCY_S)
    assert took(radio, "all_gather", 4, 64) == 3 * (4 * 1.0 + LATENCY_S)


def test_islands_send_through_their_one_link_and_pay_both_latencies() -> None:
    """Two hosts of two: in a ring, one message each way crosses between them."""
    inside = Links("inside", 8 * BYTES_PER_S, LATENCY_S)
    hosts = Islands("hosts", 2, inside, Links("between", BYTES_PER_S, 1.0))
    crossing = 8.0 + LATENCY_S + 1.0  # at an eighth of the rate
    assert took(hosts, "all_gather", 4, 64) == pytest.approx(3 * crossing)
    assert took(hosts, "all_gather", 2, 64) == 1.0 + LATENCY_S  # inside one
    # Of an all-to-all, two messages share each cut.
    part = 16 / BYTES_PER_S
    assert took(hosts, "all_to_all", 4, 64) > 2 * 8 * 2 * part


def test_no_network_is_too_wide_for_the_recursion_of_rounds() -> None:
    """Five hundred rounds on an infinite network take no time, and no deep stack."""
    assert took(Links("infinite", math.inf), "all_reduce", 256, 64) == 0.0


@pytest.mark.parametrize("ranks_per_island", [0, -2])
def test_islands_of_nobody_are_refused(ranks_per_island: int) -> None:
    """With the field at fault."""
    inside = Links("inside", 1.0)
    with pytest.raises(InputError, match="'odd': ranks_per_island"):
        Islands("odd", ranks_per_island, inside, inside)


def test_every_preset_carries_every_kind_of_exchange() -> None:
    """In a finite time, and no time on the infinite one."""
    for name, preset in NETWORKS.items():
        for kind in RING.lowerings:
            took_s = took(preset, kind, 2 if kind == "send" else 4, 4096)
            assert took_s == 0 if name == "infinite" else 0 < took_s < 10
