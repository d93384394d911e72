"""Exchanges over connections: in which order data and readiness leave, as gloo writes them."""

from __future__ import annotations

from collections.abc import Generator

import pytest
import simpy

from simnet.network.collectives.selection import GLOO, GLOO_POSTED
from simnet.network.network import Exchange, Line
from simnet.network.topology import Links
from traces.units import bits

RATE_BPS, NBYTES = 8e6, 1_000_000
WIRE_S = bits(NBYTES) / RATE_BPS
READY_S = 1e-3
LATE_S = 0.01  # more than readiness takes to be known


def ends(
    links: Links,
    *exchanges: tuple[str, tuple[int, ...], tuple[float, ...]],
    sizes: tuple[tuple[int, ...], ...] | None = None,
) -> list[float]:
    """When exchanges (kind, ranks, since when each is ready) are over, each on a line of its own.

    Each is carried when its last rank is ready.
    """
    env = simpy.Environment()
    traffic = links.traffic(env)
    over = [0.0] * len(exchanges)

    def program(
        place: int, kind: str, ranks: tuple[int, ...], since_s: tuple[float, ...]
    ) -> Generator[simpy.Event, None, None]:
        yield env.timeout(max(since_s))
        exchange = Exchange(kind, ranks, NBYTES, Line("world", ranks), 0, since_s, sizes)
        yield env.all_of(traffic.carry(exchange))
        over[place] = env.now

    for place, exchange in enumerate(exchanges):
        env.process(program(place, *exchange))
    env.run()
    return over


def links(**more: float) -> Links:
    """One for each rank."""
    return Links("test", RATE_BPS, collectives=GLOO_POSTED, **more)  # type: ignore[arg-type]


def since(ranks: int, late_s: float = 0.0) -> tuple[float, ...]:
    """All at once, but for the last one."""
    return (*[0.0] * (ranks - 1), late_s)


@pytest.mark.parametrize("ranks", [2, 3, 4])
@pytest.mark.parametrize("kind", ["all_gather", "all_reduce", "all_to_all", "reduce_scatter"])
def test_ranks_that_come_together_take_what_the_rounds_take(kind: str, ranks: int) -> None:
    """No one's readiness is behind anything."""
    together = (kind, tuple(range(ranks)), since(ranks))
    by_rounds = Links("test", RATE_BPS, collectives=GLOO)

    assert ends(links(), together) == pytest.approx(ends(by_rounds, together))


def test_a_late_rank_of_two_sends_all_before_it_makes_room() -> None:
    """An all-to-all then goes one way after the other: gloo/alltoall.cc sends first."""
    late = ("all_to_all", (0, 1), since(2, LATE_S))

    over = ends(links(ready_s=READY_S), late)
    assert over == [pytest.approx(LATE_S + 2 * WIRE_S / 2 + READY_S)]


def test_a_late_rank_of_two_makes_room_for_the_first_half_after_sending_it() -> None:
    """So that an all-gather of halves takes three halves and not two: gloo/allgather.cc."""
    late = ("all_gather", (0, 1), since(2, LATE_S))

    over = ends(links(ready_s=READY_S), late)
    assert over == [pytest.approx(LATE_S + 1.5 * WIRE_S + READY_S)]


def test_an_all_reduce_does_not_mind_who_is_late() -> None:
    """It makes room first: gloo/allreduce.cc."""
    late = ("all_reduce", (0, 1), since(2, LATE_S))

    (over,) = ends(links(ready_s=READY_S), late)
    assert over == pytest.approx(LATE_S + WIRE_S, abs=6 * READY_S)


def test_receivers_of_messages_make_room_before_they_send() -> None:
    """Of messages each way the late one holds up nothing."""
    both = [("send", (0, 1), (0.0, LATE_S)), ("send", (1, 0), (LATE_S, 0.0))]

    over = ends(links(ready_s=READY_S), *both)
    assert over == [pytest.approx(LATE_S + READY_S + WIRE_S), pytest.approx(LATE_S + WIRE_S)]


def test_a_receiver_that_gets_ready_while_it_sends_to_its_peer_is_heard_afterwards() -> None:
    """Its note is behind the data of the other direction, on the same connection."""
    first, second = ("send", (1, 0), (0.0, 0.0)), ("send", (0, 1), (0.0, WIRE_S / 2))

    over = ends(links(ready_s=READY_S), first, second)
    assert over == [pytest.approx(WIRE_S + READY_S), pytest.approx(2 * (WIRE_S + READY_S))]


def test_a_note_to_somebody_else_waits_for_what_is_queued_at_the_link() -> None:
    """Not for all the data: for `queue_bytes` of each other connection."""
    queue_bytes = NBYTES / 10
    first, second = ("send", (1, 0), (0.0, 0.0)), ("send", (2, 1), (0.0, WIRE_S / 2))

    over = ends(links(ready_s=READY_S, queue_bytes=queue_bytes), first, second)
    wait_s = READY_S + WIRE_S / 10
    assert over == [
        pytest.approx(WIRE_S + READY_S),
        pytest.approx(WIRE_S / 2 + wait_s + WIRE_S),
    ]


def test_messages_of_a_pair_leave_one_after_the_other() -> None:
    """Also those of different exchanges: there is one connection."""
    first, second = (("send", (0, 1), (0.0, 0.0)),) * 2

    assert ends(links(), first, second) == [pytest.approx(WIRE_S), pytest.approx(2 * WIRE_S)]


def test_parts_that_differ_are_sent_in_the_same_order() -> None:
    """The late rank's first, whatever their sizes."""
    late = ("all_to_all", (0, 1), since(2, LATE_S))
    sizes = ((0, NBYTES), (NBYTES // 4, 0))

    over = ends(links(ready_s=READY_S), late, sizes=sizes)
    assert over == [pytest.approx(LATE_S + 1.25 * WIRE_S + READY_S)]


def test_acknowledgements_take_their_part_of_the_other_direction() -> None:
    """Nothing where nobody else sends; of two messages each way, a twentieth more each."""
    with_acks = links(acks=0.05)
    one = ("send", (0, 1), (0.0, 0.0))
    other = ("send", (1, 0), (0.0, 0.0))

    assert ends(with_acks, one) == [pytest.approx(WIRE_S)]
    assert ends(with_acks, one, other) == [pytest.approx(1.05 * WIRE_S)] * 2
