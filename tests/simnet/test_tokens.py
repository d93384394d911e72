"""Token buckets: what a link that has rested lets through at once, in closed form."""

from __future__ import annotations

import math
from collections.abc import Generator

import pytest
import simpy
from hypothesis import given
from hypothesis import strategies as st

from simnet.network.fluid import Fluid, Side
from simnet.network.tokens import Bucket
from traces.errors import InputError

RATE, BURST, PEAK = 10.0, 40.0, 50.0


def side(name: str = "link", rate: float = RATE, burst: float = BURST, peak: float = PEAK) -> Side:
    """With a bucket that is full."""
    return Side(name, rate, Bucket(rate, burst, peak))


class World:
    """Flows that start at given times, and when they end."""

    def __init__(self) -> None:
        self.env = simpy.Environment()
        self.fluid = Fluid(self.env)
        self.ends: list[float] = []

    def flow(self, route: list[Side], nbits: float, start_s: float = 0.0) -> None:
        """To be started then."""
        number = len(self.ends)
        self.ends.append(math.nan)

        def program() -> Generator[simpy.Event, None, None]:
            yield self.env.timeout(start_s)
            yield self.fluid.start(route, nbits)
            self.ends[number] = self.env.now

        self.env.process(program())

    def run(self) -> list[float]:
        """When each flow ended."""
        self.env.run()
        return self.ends


@pytest.mark.parametrize("nbits", [1.0, 49.0, 50.0, 51.0, 1000.0])
def test_a_flow_goes_at_the_peak_until_the_tokens_are_used_up(nbits: float) -> None:
    """They last for burst / (peak - rate) = 1 s, in which 50 bits pass; the rest has the rate."""
    world = World()
    world.flow([side()], nbits)

    assert world.run() == [pytest.approx(min(nbits, 50) / PEAK + max(0, nbits - 50) / RATE)]


@pytest.mark.parametrize(("idle_s", "tokens"), [(0.0, 0.0), (1.0, 10.0), (4.0, 40.0), (9.0, 40.0)])
def test_tokens_come_back_at_the_rate_while_the_link_rests(idle_s: float, tokens: float) -> None:
    """Up to the burst."""
    world = World()
    link = side()
    world.flow([link], 100)  # until 6 s, and nothing is left
    world.flow([link], 100, 6 + idle_s)
    first, second = world.run()

    fast_s = tokens / (PEAK - RATE)
    assert first == pytest.approx(6)
    assert second - first - idle_s == pytest.approx(fast_s + (100 - PEAK * fast_s) / RATE)


def test_messages_back_to_back_take_the_rate_after_the_burst() -> None:
    """As one message of all their bits."""
    world = World()
    link = side()

    def program() -> Generator[simpy.Event, None, None]:
        for _ in range(10):
            yield world.fluid.start([link], 20)

    world.env.process(program())
    world.env.run()
    assert world.env.now == pytest.approx(1 + 150 / RATE)


def test_two_flows_share_the_tokens_as_they_share_the_rate() -> None:
    """Half of the peak each for 1 s, then half of the rate, and the rate for who is left."""
    world = World()
    link = side()
    world.flow([link], 50)
    world.flow([link], 75)

    assert world.run() == [pytest.approx(6), pytest.approx(8.5)]


def test_two_like_buckets_in_a_row_let_one_burst_through() -> None:
    """Tokens are taken from both at once."""
    world = World()
    world.flow([side("out"), side("in")], 100)

    assert world.run() == [pytest.approx(6)]


def test_a_flow_that_is_slowed_down_elsewhere_leaves_tokens() -> None:
    """At 15 bit/s tokens last 8 s; at 10 bit/s for ever; below they come back."""
    for rate, nbits, expected in ((15.0, 200.0, 8 + 80 / 10), (10.0, 200.0, 20.0), (5.0, 50.0, 10)):
        world = World()
        world.flow([side(), Side("narrow", rate)], nbits)
        assert world.run() == [pytest.approx(expected)]


def test_a_second_flow_finds_what_a_slow_one_left() -> None:
    """8 bit/s through an empty bucket give back 2 a second, which pass at the peak later."""
    world = World()
    link = side()
    world.flow([link], 100)  # empties it at 1 s, ends at 6 s
    world.flow([link, Side("narrow", 8.0)], 80, 6.0)  # until 16 s
    world.flow([link], 100, 16.0)

    fast_s = 20 / (PEAK - RATE)
    assert world.run()[2] == pytest.approx(16 + fast_s + (100 - PEAK * fast_s) / RATE)


def test_a_new_rate_holds_for_what_comes_back_too() -> None:
    """Twice the rate from 1 s on, when the tokens are gone; an outage stops everything."""
    world = World()
    link = side()
    world.flow([link], 110)

    def weather() -> Generator[simpy.Event, None, None]:
        yield world.env.timeout(1)
        world.fluid.set_rate(link, 20.0)
        yield world.env.timeout(1)
        world.fluid.set_rate(link, 0.0)
        yield world.env.timeout(5)
        world.fluid.set_rate(link, 20.0)

    world.env.process(weather())
    assert world.run() == [pytest.approx(9)]


def test_an_outage_helps_no_flow_to_tokens() -> None:
    """Though the bucket is full, nothing passes."""
    world = World()
    link = side()
    world.flow([link], 100, 1.0)
    world.fluid.set_rate(link, 0.0)
    world.env.run(until=100)
    assert math.isnan(world.ends[0])


@given(
    sizes=st.lists(st.floats(1, 200), min_size=1, max_size=6),
    gaps=st.lists(st.floats(0, 5), min_size=6, max_size=6),
)
def test_no_more_passes_than_the_burst_and_the_rate_allow(
    sizes: list[float], gaps: list[float]
) -> None:
    """From the first start to each end: burst + rate * time (RFC 2697's arrival curve)."""
    world = World()
    link = side()
    start_s = 0.0
    for nbits, gap in zip(sizes, gaps, strict=False):
        world.flow([link], nbits, start_s)
        start_s += gap
    ends = world.run()

    for end_s in ends:
        passed = sum(nbits for nbits, other_s in zip(sizes, ends, strict=True) if other_s <= end_s)
        assert passed <= BURST + RATE * end_s + 1e-6
    assert max(ends) <= start_s + sum(sizes) / RATE + 1e-6


@pytest.mark.parametrize(
    ("burst", "peak", "said"),
    [
        (0.0, 20.0, "a bucket of 0.0 bits"),
        (math.inf, 20.0, "inf bits"),
        (1.0, 9.0, "peak_bps is 9"),
    ],
)
def test_buckets_that_cannot_be_are_refused(burst: float, peak: float, said: str) -> None:
    """With the number at fault."""
    with pytest.raises(InputError, match=said):
        Bucket(RATE, burst, peak)
