"""Networks under conditions: to hand-computed times, and with the luck that a seed means."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from dataclasses import replace
from functools import partial
from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from simnet.costs import Roofline
from simnet.devices import device
from simnet.drivers.replay import Blob
from simnet.drivers.simulated import simulate
from simnet.job import Job
from simnet.network.carriage import then
from simnet.network.conditions.conditions import (
    LEAST_VARIATION,
    MOST_JITTER_S,
    MOST_VARIATION,
    Background,
    Conditions,
    Degradation,
    Jitter,
    Straggler,
)
from simnet.network.conditions.named import Named
from simnet.network.conditions.spells import Once, Recurring, Toggle
from simnet.network.conditions.under import Under
from simnet.network.network import Exchange, Line, Network
from simnet.network.presets import NETWORKS
from simnet.network.topology import Islands, Links, Medium
from simnet.ops import Compute, Program, Recv, Send, Wait
from simnet.schedules.base import Schedule
from simnet.schedules.distrifusion import DistriFusion
from simnet.schedules.ring import RingAttention
from traces.errors import ScheduleError
from traces.operation import Operation
from traces.summary import Summary, summarize
from traces.trace import Trace

Play = Callable[..., list[Operation]]
Busy = Callable[[float], Compute]
Sized = Callable[[int], Blob]

BYTES_PER_S, LATENCY_S = 64.0, 0.25
LINKS = Links("test", rate_bps=8 * BYTES_PER_S, latency_s=LATENCY_S)
OUT, IN = "rank 0 out", "rank 1 in"
JOB = Job("dit-nano", ranks=4, steps=3)
#: Transfers take nothing of the processor: times are those of the computes alone.
COST = Roofline(replace(device("l20"), transfer_share=0.0))
ETHERNET = NETWORKS["ethernet-1g"]
SCHEDULES: tuple[Schedule, ...] = (RingAttention(), DistriFusion())

#: One of each kind, at random, on Links.
EVERYTHING = Conditions(
    Jitter(1e-4, 2.0, compute=0.1),
    (Straggler(2, 1.5),),
    (Background(5e8, ranks=(0, 1), spells=Recurring(2e-4, 2e-4)),),
    (
        Degradation((OUT,), 0.5, Recurring(1e-3, 1e-3)),
        Degradation((IN,), 0.0, Recurring(1e-4, 1e-3)),
    ),
)


def sent(network: Network, nbytes: float, start_s: float = 0.0) -> tuple[float, float]:
    """When a message from rank 0 to 1 has left and is there; and that all ends with it."""
    env = simpy.Environment()
    traffic = network.traffic(env)
    ends_s = [math.nan, math.nan]

    def note(member: int) -> None:
        ends_s[member] = env.now

    def program() -> Generator[simpy.Event, None, None]:
        yield env.timeout(start_s)
        message = Exchange("send", (0, 1), int(nbytes), Line("w", (0, 1)), 0, (start_s, start_s))
        for member, event in enumerate(traffic.carry(message)):
            then(event, partial(note, member))

    env.process(program())
    env.run()
    assert env.now == ends_s[1]
    return ends_s[0], ends_s[1]


def with_links(*, ranks: int = 2, seed: int = 0, topology: Named = LINKS, **of: object) -> Under:
    """The test's links under these."""
    return Under(topology, Conditions(**of), ranks, seed)  # type: ignore[arg-type]


def run(conditions: Conditions, schedule: Schedule = SCHEDULES[0], seed: int = 0) -> Trace:
    """A small prediction on a slow network under conditions."""
    return simulate(schedule, JOB, COST, Under(ETHERNET, conditions, JOB.ranks, seed))


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda each: each.name)
def test_a_seed_gives_one_run_and_another_seed_another(schedule: Schedule) -> None:
    """To the bit, in every column of every row."""
    first, again, other = (run(EVERYTHING, schedule, seed) for seed in (1, 1, 2))
    pd.testing.assert_frame_equal(first.ops, again.ops, check_exact=True)
    assert not first.ops["end_s"].equals(other.ops["end_s"])
    assert summarize(first).total_s != summarize(other).total_s


@pytest.mark.parametrize("schedule", SCHEDULES, ids=lambda each: each.name)
@pytest.mark.parametrize("name", ["ethernet-1g", "shared-bucket-16g", "hosts-of-4-ethernet-10g"])
def test_conditions_without_effect_leave_the_plain_prediction(
    name: str, schedule: Schedule
) -> None:
    """Exactly: no jitter, a slowdown of 1, a factor of 1, traffic that comes after the end."""
    network = NETWORKS[name]
    plain = simulate(schedule, JOB, COST, network)
    hops = tuple(hop.name for hop in network.path(0, 1).hops)
    without_effect = Conditions(
        Jitter(),
        (Straggler(1, 1.0),),
        (Background(1e9, hops, spells=Once(from_s=1e6)),),
        (Degradation(hops, 1.0, Recurring(1e-4, 1e-4)), Degradation(hops, 0.0, Once(1e6, 2e6))),
    )
    for conditions in (Conditions(), without_effect):
        under = Under(network, conditions, JOB.ranks)
        same = simulate(schedule, JOB, COST, under)
        pd.testing.assert_frame_equal(same.ops, plain.ops, check_exact=True)
    assert Under(network, Conditions(), JOB.ranks).name == name


def test_a_straggler_of_2_takes_exactly_twice_as_long(toy: Play, busy: Busy) -> None:
    """Where there is nothing but computing; the others take what they took."""

    def program() -> Program:
        yield busy(0.1)
        yield busy(0.7)

    network = with_links(stragglers=(Straggler(1, 2.0),))
    ops = toy([program(), program()], network)
    assert [op.end_s for op in ops] == [0.1, 0.1 + 0.7, 2 * 0.1, 2 * 0.1 + 2 * 0.7]
    assert [op.cost_s for op in ops if op.rank == 1] == [0.2, 1.4]


def test_ranks_of_a_ring_wait_for_their_straggler() -> None:
    """All end about as late as it does; what the others have more of is exposed communication."""

    def summary(*stragglers: Straggler) -> Summary:
        return summarize(run(Conditions(stragglers=stragglers)))

    plain, slowed = summary(), summary(Straggler(2, 20.0))
    assert slowed.ranks[2].compute_s == pytest.approx(20 * plain.ranks[2].compute_s)
    assert slowed.total_s > 2 * plain.total_s
    for rank in (0, 1, 3):
        assert slowed.ranks[rank].compute_s == pytest.approx(plain.ranks[rank].compute_s)
        assert slowed.ranks[rank].exposed_s > 2 * plain.ranks[rank].exposed_s
        assert slowed.ranks[rank].total_s > 0.8 * slowed.total_s


@pytest.mark.parametrize(
    ("degradations", "left_s"),
    [
        ([Degradation((OUT,), 0.25, Once(2.0, 6.0))], 13.0),  # 2 s, 4 s for 1 s worth, 7 s
        ([Degradation((OUT,), 0.0, Once(2.0, 5.0))], 13.0),  # stands still for 3 s
        ([Degradation((IN,), 0.5)], 20.0),  # a slow link
        ([Degradation((OUT, OUT), 0.5)], 20.0),  # named twice is named
        ([Degradation((OUT, IN), 0.5)], 20.0),  # both ends of the way: one after the other
        ([Degradation((OUT,), 0.5), Degradation((OUT,), 0.5, Once(4.0))], 36.0),  # 2 s, 8 s at 1/4
        ([Degradation((OUT,), 0.0, Once(0.0, 1.5))], 11.5),  # before it starts
        ([Degradation((OUT,), 0.0, Once(10.0, 50.0))], 10.0),  # as it ends
        ([Degradation(("rank 1 out",), 0.5)], 10.0),  # the other direction
        ([Degradation((OUT,), 0.0, Once(n, n + 0.5)) for n in range(0, 8, 2)], 12.0),
    ],
)
def test_a_message_takes_what_is_left_of_a_link(
    degradations: list[Degradation], left_s: float
) -> None:
    """10 s worth of bytes; the latency comes on top, whatever the rate."""
    network = with_links(degradations=tuple(degradations))
    assert sent(network, 10 * BYTES_PER_S) == (left_s, left_s + LATENCY_S)


windows = st.builds(
    lambda from_s, length_s, factor: Degradation((OUT,), factor, Once(from_s, from_s + length_s)),
    st.floats(0, 20),
    st.floats(0.01, 10),
    st.sampled_from([0.0, 0.1, 0.5, 1.0]),
)


@given(st.lists(windows, max_size=5), st.floats(0, 10))
def test_what_a_link_carries_is_its_rate_summed_up_over_time(
    degradations: list[Degradation], start_s: float
) -> None:
    """Whatever windows there are, apart or on top of each other: as integrated by hand."""
    left_s, _ = sent(with_links(degradations=tuple(degradations)), 10 * BYTES_PER_S, start_s)
    spells = [(each.spells, each.factor) for each in degradations]
    times_s = {start_s, left_s}
    for spell, _ in spells:
        assert isinstance(spell, Once)
        times_s |= {time_s for time_s in (spell.from_s, spell.to_s) if start_s < time_s < left_s}
    carried = 0.0
    for from_s, to_s in pairwise(sorted(times_s)):
        middle_s = (from_s + to_s) / 2
        holding = [f for spell, f in spells if spell.from_s <= middle_s < spell.to_s]  # type: ignore[attr-defined]
        carried += math.prod(holding) * (to_s - from_s)
    assert carried == pytest.approx(10.0)


def test_conditions_are_those_of_the_time_when_something_is_under_way() -> None:
    """What happened while the links were idle is made up for."""
    network = with_links(degradations=(Degradation((OUT,), 0.0, Once(1.0, 5.0)),))
    assert sent(network, 2 * BYTES_PER_S, start_s=2.0)[0] == 7.0
    assert sent(network, 2 * BYTES_PER_S, start_s=6.0)[0] == 8.0


def test_spells_at_random_depend_on_the_time_and_not_on_who_uses_the_link(
    toy: Play, busy: Busy, blob: Sized
) -> None:
    """A message meets the same outages, whether or not another one was there before it."""
    network = with_links(degradations=(Degradation((OUT,), 0.0, Recurring(0.5, 0.5)),), seed=3)

    def ends(sizes: list[tuple[float, int]]) -> float:
        """Messages of so many bytes, each after so many seconds."""

        def sender() -> Program:
            for delay_s, nbytes in sizes:
                yield busy(delay_s)
                yield Send("x", blob(nbytes), 1)

        def receiver() -> Program:
            for _, nbytes in sizes:
                yield Wait((yield Recv("x", blob(nbytes), 0)))

        return max(op.end_s for op in toy([sender(), receiver()], network))

    alone_s = ends([(40.0, 640)])
    assert ends([(1.0, 64), (39.0, 640)]) == alone_s
    assert alone_s > 40.0 + 10.0 + LATENCY_S


@pytest.mark.parametrize(
    ("background", "left_s"),
    [
        (Background(8 * BYTES_PER_S, ranks=(0, 1)), 20.0),
        (Background(80 * BYTES_PER_S, (OUT,)), 20.0),  # it would have more: a fair share is half
        (Background(2 * BYTES_PER_S, (IN,)), 10 / 0.75),  # it wants less: the message has the rest
        (Background(8 * BYTES_PER_S, (OUT,), spells=Once(2.0, 8.0)), 13.0),
        (Background(8 * BYTES_PER_S, ranks=(1, 0)), 10.0),  # the other direction
        (Background(2 * BYTES_PER_S, (OUT, OUT)), 10 / 0.75),  # named twice is named
        (Background(6 * BYTES_PER_S, (OUT,), paced=True), 40.0),  # its rate, not half
    ],
)
def test_background_takes_its_fair_share(background: Background, left_s: float) -> None:
    """Of 10 s worth of bytes; and when they are there, all is over."""
    network = with_links(background=(background,))
    assert sent(network, 10 * BYTES_PER_S)[0] == pytest.approx(left_s, rel=1e-6)


def test_conditions_know_the_hops_of_every_topology() -> None:
    """A medium, and the link out of an island."""
    medium = Medium("radio", 8 * BYTES_PER_S)
    half = Degradation(("medium",), 0.5)
    assert sent(with_links(topology=medium, degradations=(half,)), 64)[0] == 2.0
    hosts = Islands("hosts", 1, LINKS, Links("between", 8 * BYTES_PER_S))
    cut = Degradation(("island 0 out",), 0.5)
    assert sent(with_links(topology=hosts, degradations=(cut,)), 64)[0] == 2.0


@pytest.mark.parametrize("share", [0.2, 0.7])
def test_spells_hold_for_their_share_of_the_time(share: float) -> None:
    """From the start on, within sampling error: seen at one time each, under many seeds."""
    spells, runs = Recurring(share, 1 - share), 4000
    for time_s in (0.0, 0.3, 5.0):
        held = 0
        for seed in range(runs):
            toggle = Toggle(spells.edges(np.random.default_rng(seed)))
            toggle.advance(time_s)
            held += toggle.on
        error = math.sqrt(share * (1 - share) / runs)
        assert held / runs == pytest.approx(share, abs=4 * error)


def test_a_background_flow_carries_its_mean_load() -> None:
    """A long message gets what is left: the link less the rate for the time that it is there."""
    lasts_s, apart_s, cycles = 0.3, 0.7, 4000
    quarter = Background(2 * BYTES_PER_S, (OUT,), spells=Recurring(lasts_s, apart_s))
    left_s, _ = sent(with_links(background=(quarter,), seed=5), cycles * BYTES_PER_S)
    load = 1 - cycles / left_s
    # The share of an alternating renewal process: sd of the time it holds in t is
    # sqrt(2 (lasts apart)^2 / (lasts + apart)^3 t), for exponential lengths.
    sd = math.sqrt(2 * (lasts_s * apart_s) ** 2 / (lasts_s + apart_s) ** 3 / left_s)
    assert load == pytest.approx(0.25 * lasts_s, abs=4 * 0.25 * sd)


@pytest.mark.parametrize("variation", [LEAST_VARIATION, MOST_VARIATION])
@pytest.mark.parametrize("mean_s", [1e-300, MOST_JITTER_S])
def test_jitter_is_a_number_up_to_its_bounds(variation: float, mean_s: float) -> None:
    """It may come out as 0."""
    network = with_links(jitter=Jitter(mean_s, variation, compute=variation))
    pace = network.pace(0)
    drawn = [*_lateness(network, 20), *(pace(1.0) for _ in range(20))]
    assert all(0 <= each < math.inf for each in drawn)


@pytest.mark.parametrize("variation", [0.3, 1.0, 2.0])
def test_jitter_has_the_mean_and_the_variation_that_it_is_given(variation: float) -> None:
    """Of messages' lateness, and of what computes take; neither is ever negative."""
    draws = 20000
    jitter = Jitter(3.0, variation, compute=variation)
    network = with_links(jitter=jitter, topology=Links("fast", 8e3))
    pace = network.pace(0)
    computes = np.array([pace(2.0) / 2 for _ in range(draws)])
    messages = np.array([late_s / 3.0 for late_s in _lateness(network, draws)])
    for sample in (computes, messages):
        # The standard error of a gamma's mean, and of its variation by the delta method.
        assert sample.min() >= 0
        assert sample.mean() == pytest.approx(1, abs=5 * variation / math.sqrt(draws))
        error = variation * math.sqrt((1 + variation**2) * (1 + 2 * variation**2) / 2 / draws)
        assert sample.std() / sample.mean() == pytest.approx(variation, abs=5 * error)


def _lateness(network: Under, count: int) -> list[float]:
    """How late messages of no bytes from rank 0 to 1 arrive."""
    env = simpy.Environment()
    traffic = network.traffic(env)
    late_s = []
    for ordinal in range(count):
        began_s = env.now
        message = Exchange("send", (0, 1), 0, Line("w", (0, 1)), ordinal, (env.now, env.now))
        traffic.carry(message)
        env.run()
        late_s.append(env.now - began_s)
    return late_s


def test_jitter_delays_arrival_and_not_departure() -> None:
    """A sender is through when its last bit has left."""
    left_s, there_s = sent(with_links(jitter=Jitter(5.0), seed=1), 64)
    assert left_s == 1.0
    assert there_s > 1.0 + LATENCY_S


def test_a_condition_draws_nothing_that_another_would_have_drawn() -> None:
    """Jitter is the same beside other conditions, and outages beside other outages."""
    jitter, far = Jitter(0.5, compute=0.2), "rank 1 out"
    outage = Degradation((OUT,), 0.0, Recurring(0.2, 0.5))
    elsewhere = Degradation((far,), 0.0, Recurring(0.2, 0.5))
    flow = Background(1.0, (far,), spells=Recurring(0.2, 0.5))
    few = with_links(jitter=jitter, degradations=(outage,))
    many = with_links(
        jitter=jitter,
        stragglers=(Straggler(1, 2.0),),
        background=(flow,),
        degradations=(Degradation((far,), 0.5, Recurring(0.2, 0.5)), outage, elsewhere),
    )
    assert sent(few, 640) == sent(many, 640)
    ours, theirs = few.pace(0), many.pace(0)
    assert [ours(1.0) for _ in range(5)] == [theirs(1.0) for _ in range(5)]


@settings(max_examples=15)
@given(st.floats(1e-7, 1e-2), st.floats(1, 50), st.integers(0, 1000))
def test_more_jitter_never_makes_a_ring_faster(mean_s: float, times: float, seed: int) -> None:
    """By the same draws: every rank's messages come in a fixed order on links of their own."""
    plain, some, more = (
        summarize(run(Conditions(Jitter(each_s)), seed=seed)).total_s
        for each_s in (0.0, mean_s, times * mean_s)
    )
    assert plain <= some * (1 + 1e-12)
    assert some <= more * (1 + 1e-12)


def test_a_deadlock_is_seen_in_spite_of_endless_background(
    toy: Play, busy: Busy, blob: Sized
) -> None:
    """Conditions are at work only while something is under way."""

    def program(rank: int) -> Program:
        if rank == 0:
            yield Wait((yield Send("x", blob(64), 1)))
        else:
            yield Wait((yield Recv("x", blob(64), 0)))
        yield busy(1.0)
        yield Wait((yield Recv("y", blob(64), 1 - rank)))

    network = with_links(
        jitter=Jitter(0.1, compute=0.1),
        background=(
            Background(1.0, (OUT,)),
            Background(1.0, (IN,), spells=Recurring(1e-3, 1e-3)),
        ),
        degradations=(Degradation((OUT,), 0.0, Recurring(1e-3, 1e-3)),),
    )
    with pytest.raises(ScheduleError, match="deadlock: no rank can go on"):
        toy([program(0), program(1)], network)
