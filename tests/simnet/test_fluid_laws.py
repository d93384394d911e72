"""Laws of flows that share sides, and the same by a plain reference that computes all anew."""

from __future__ import annotations

import math
from collections.abc import Generator, Iterator
from dataclasses import dataclass, replace
from typing import Any

import pytest
import simpy
from hypothesis import given, settings
from hypothesis import strategies as st

from simnet.network.fluid import Flow, Fluid, Side

# ------------------------------------------------------------------------------ small worlds


@dataclass(frozen=True)
class Sent:
    """A flow of a scenario; `route` holds indices of sides."""

    start_s: float
    route: tuple[int, ...]
    nbits: float
    weight: float
    cap_bps: float


@dataclass(frozen=True)
class World:
    """Sides, flows and rates that change: (when, which side, new rate)."""

    rates: tuple[float, ...]
    sent: tuple[Sent, ...]
    changes: tuple[tuple[float, int, float], ...] = ()

    def scaled(self, factor: float) -> World:
        """Everything takes so many times longer."""
        return World(
            tuple(rate / factor for rate in self.rates),
            tuple(
                replace(s, start_s=s.start_s * factor, cap_bps=s.cap_bps / factor)
                for s in self.sent
            ),
            tuple((t * factor, side, rate / factor) for t, side, rate in self.changes),
        )


@dataclass
class Piece:
    """A time without events: what each flow under way had, and each side's rate."""

    length_s: float
    rates: dict[int, float]
    capacities: list[float]


class Play:
    """A world played to its end."""

    def __init__(self, world: World) -> None:
        self.world = world
        self.env = simpy.Environment()
        self.fluid = Fluid(self.env)
        self.sides = [Side(f"s{n}", rate) for n, rate in enumerate(world.rates)]
        self.flows: dict[int, Flow] = {}
        self.ends_s = [math.nan] * len(world.sent)
        for number, sent in enumerate(world.sent):
            self.env.process(self._send(number, sent))
        for change in world.changes:
            self.env.process(self._change(*change))
        self.pieces = list(self._pieces())

    def _send(self, number: int, sent: Sent) -> Generator[simpy.Event, Any, None]:
        yield self.env.timeout(sent.start_s)
        route = [self.sides[index] for index in sent.route]
        flow = self.fluid.start(route, sent.nbits, weight=sent.weight, cap_bps=sent.cap_bps)
        self.flows[number] = flow
        yield flow
        del self.flows[number]
        self.ends_s[number] = self.env.now

    def _change(self, time_s: float, side: int, rate: float) -> Generator[simpy.Event, Any, None]:
        yield self.env.timeout(time_s)
        self.fluid.set_rate(self.sides[side], rate)

    def _pieces(self) -> Iterator[Piece]:
        while (then_s := self.env.peek()) < math.inf:
            if then_s > self.env.now:
                rates = {number: flow.rate_bps for number, flow in self.flows.items()}
                capacities = [side.rate_bps for side in self.sides]
                yield Piece(then_s - self.env.now, rates, capacities)
            self.env.step()


def crossings(world: World, side: int, rates: dict[int, float]) -> list[tuple[int, int]]:
    """(flow, how often it crosses this side) of those that do."""
    counts = [(number, world.sent[number].route.count(side)) for number in rates]
    return [(number, times) for number, times in counts if times]


def load(world: World, side: int, rates: dict[int, float]) -> float:
    """What a side carries."""
    return sum(times * rates[number] for number, times in crossings(world, side, rates))


# ------------------------------------------------------------------------ the plain reference


def plain_rates(world: World, capacities: list[float], under_way: list[int]) -> dict[int, float]:
    """Progressive filling of everything: raise all levels until a side or a cap stops a flow."""
    rates: dict[int, float] = {}
    rising = dict.fromkeys(under_way)
    while rising:
        stops = {
            number: world.sent[number].cap_bps / world.sent[number].weight for number in rising
        }
        for side, capacity in enumerate(capacities):
            crossing = crossings(world, side, rising)  # type: ignore[arg-type]
            if crossing:
                pull = sum(times * world.sent[number].weight for number, times in crossing)
                level = max(0.0, capacity - load(world, side, rates)) / pull
                for number, _ in crossing:
                    stops[number] = min(stops[number], level)
        level = min(stops.values())
        for number, stop in stops.items():
            if stop <= level * (1 + 1e-12):
                rates[number] = level * world.sent[number].weight
                del rising[number]
    return rates


def plain_ends(world: World) -> list[float]:
    """When each flow ends, all rates computed anew at every event."""
    now, capacities = 0.0, list(world.rates)
    left = [sent.nbits for sent in world.sent]
    ends = [math.nan] * len(left)
    moments = sorted({s.start_s for s in world.sent} | {change[0] for change in world.changes})
    while any(map(math.isnan, ends)):
        for time_s, side, rate in world.changes:
            if time_s == now:
                capacities[side] = rate
        under_way = [
            n for n, sent in enumerate(world.sent) if sent.start_s <= now and math.isnan(ends[n])
        ]
        rates = plain_rates(world, capacities, under_way)
        needs = {n: left[n] / rates[n] if rates[n] else math.inf for n in rates if left[n]}
        needs |= {n: 0.0 for n in rates if not left[n]}
        then = min([t for t in moments if t > now], default=math.inf)
        step = min([*needs.values(), then - now])
        for n, need in needs.items():
            if need <= step * (1 + 1e-12):
                ends[n] = now + need
            elif step:
                left[n] -= rates[n] * step
        now = then if step == then - now else now + step
    return ends


# --------------------------------------------------------------------------------- strategies

#: Few values, so that ties and equal shares happen; and any, so that they do not.
RATES = st.sampled_from([1.0, 2.0, 3.0, 10.0, 96.0]) | st.floats(0.5, 200)
TIMES = st.sampled_from([0.0, 0.0, 1.0, 2.0]) | st.floats(0, 4)


@st.composite
def worlds(draw: st.DrawFn, *, changing: bool = True) -> World:
    """A few sides, flows over any of them, caps and weights; no side stands still for ever."""
    sides = draw(st.integers(1, 6))
    index = st.integers(0, sides - 1)
    sent = st.builds(
        Sent,
        start_s=TIMES,
        route=st.lists(index, min_size=1, max_size=4).map(tuple),
        nbits=st.sampled_from([0.0, 12.0, 96.0]) | st.floats(1, 500),
        weight=st.just(1.0) | st.floats(0.1, 10),
        cap_bps=st.just(math.inf) | RATES,
    )
    rates = tuple(draw(st.lists(RATES, min_size=sides, max_size=sides)))
    flows = tuple(draw(st.lists(sent, min_size=1, max_size=12)))
    changes: dict[tuple[float, int], float] = {}
    if changing:
        drawn = st.tuples(st.floats(0.1, 3), index, st.just(0.0) | RATES)
        for time_s, side, rate in draw(st.lists(drawn, max_size=3)):
            changes[time_s, side] = rate
            changes[9.0, side] = 5.0
    return World(rates, flows, tuple((t, side, rate) for (t, side), rate in changes.items()))


def close(ends_s: list[float], expected_s: list[float]) -> bool:
    """To rounding."""
    return ends_s == pytest.approx(expected_s, rel=1e-9, abs=0)


# --------------------------------------------------------------------------------------- laws


@given(worlds())
def test_flows_end_when_the_plain_reference_says(world: World) -> None:
    """Filling only what a change concerns comes to the same as filling everything anew."""
    assert close(Play(world).ends_s, plain_ends(world))


@given(worlds())
def test_what_flows_carry_is_what_they_were_given(world: World) -> None:
    """Rates times the lengths of the pieces they hold for sum up to the bits of each flow."""
    carried = [0.0] * len(world.sent)
    for piece in Play(world).pieces:
        for number, rate_bps in piece.rates.items():
            carried[number] += rate_bps * piece.length_s
    assert carried == pytest.approx([sent.nbits for sent in world.sent], rel=1e-9, abs=1e-9)


@given(worlds())
def test_no_side_ever_carries_more_than_its_rate(world: World) -> None:
    """At any time, changes of rate included; and no flow exceeds its cap."""
    for piece in Play(world).pieces:
        for side, capacity in enumerate(piece.capacities):
            assert load(world, side, piece.rates) <= capacity * (1 + 1e-11)
        for number, rate_bps in piece.rates.items():
            assert rate_bps <= world.sent[number].cap_bps * (1 + 1e-15)


@given(worlds())
def test_no_flow_can_gain_without_a_poorer_one_losing(world: World) -> None:
    """Each is at its cap, or crosses a full side on which no other has more for its weight."""
    for piece in Play(world).pieces:
        level = {n: rate / world.sent[n].weight for n, rate in piece.rates.items()}

        def holds_up(number: int, side: int, now: Piece = piece, at: Any = level) -> bool:
            full = load(world, side, now.rates) >= now.capacities[side] * (1 - 1e-9)
            others = (other for other, _ in crossings(world, side, now.rates))
            return full and all(at[other] <= at[number] * (1 + 1e-9) for other in others)

        for number, rate_bps in piece.rates.items():
            sent = world.sent[number]
            capped = rate_bps >= sent.cap_bps * (1 - 1e-9)
            assert capped or any(holds_up(number, side) for side in sent.route)


@given(worlds())
def test_no_work_is_left_undone(world: World) -> None:
    """All flows end, the clock stops with the last thing that happens, and sides are empty."""
    played = Play(world)
    happened = [*played.ends_s, *(time_s for time_s, _, _ in world.changes)]
    assert played.env.now == max(happened)
    assert not any(side.flows or side.crossings for side in played.sides)


@given(worlds(), st.randoms(use_true_random=False))
def test_names_and_order_do_not_matter(world: World, rng: Any) -> None:
    """Sides and flows in another order: the same ends, to rounding."""
    sides, flows = list(range(len(world.rates))), list(range(len(world.sent)))
    rng.shuffle(sides)
    rng.shuffle(flows)
    sent = [world.sent[n] for n in flows]
    mixed = World(
        tuple(world.rates[sides.index(n)] for n in range(len(sides))),
        tuple(replace(s, route=tuple(sides[n] for n in reversed(s.route))) for s in sent),
        tuple((time_s, sides[n], rate) for time_s, n, rate in world.changes),
    )
    ends_s = Play(world).ends_s
    assert close(Play(mixed).ends_s, [ends_s[n] for n in flows])


@given(worlds())
def test_four_times_slower_takes_exactly_four_times_as_long(world: World) -> None:
    """A power of two is exact in floating point, and nothing here has a time scale of its own."""
    assert Play(world.scaled(4)).ends_s == [4 * end_s for end_s in Play(world).ends_s]


@given(worlds())
def test_two_runs_are_equal_to_the_bit(world: World) -> None:
    """New objects, the same ends."""
    assert Play(world).ends_s == Play(world).ends_s


@given(worlds(changing=False), st.integers(1, 4))
def test_a_flow_over_sides_of_its_own_is_not_disturbed(world: World, divisor: int) -> None:
    """It ends at start + bits / rate, to the bit, whatever else goes on."""
    alone = Sent(1 / 3, (len(world.rates),), 7.7 / divisor, 1.0, math.inf)
    played = Play(World((*world.rates, 0.3), (*world.sent, alone)))
    assert played.ends_s[-1] == alone.start_s + alone.nbits / 0.3


@settings(max_examples=30)
@given(st.integers(2, 7), st.data())
def test_a_star_of_equal_flows_keeps_step(ranks: int, data: st.DataObject) -> None:
    """In an all-to-all of equal sizes on equal links all flows end at the same instant."""
    rate_bps = data.draw(RATES)
    pairs = [(a, ranks + b) for a in range(ranks) for b in range(ranks) if a != b]
    sent = tuple(Sent(0.0, pair, 12.0, 1.0, math.inf) for pair in pairs)
    ends_s = Play(World((rate_bps,) * 2 * ranks, sent)).ends_s
    assert set(ends_s) == {12.0 / (rate_bps / (ranks - 1))}
