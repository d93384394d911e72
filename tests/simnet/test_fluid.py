"""Flows that share sides: closed forms by hand, and what is refused."""

from __future__ import annotations

import math
from collections.abc import Callable, Generator
from typing import Any

import pytest
import simpy

from simnet.network.fluid import Fluid, Side
from traces.errors import InputError

RATE_BPS = 96.0


@pytest.fixture(name="env")
def _env() -> simpy.Environment:
    return simpy.Environment()


@pytest.fixture(name="fluid")
def _fluid(env: simpy.Environment) -> Fluid:
    return Fluid(env)


def settle(env: simpy.Environment) -> None:
    """To the end of this instant."""
    while env.peek() == env.now:
        env.step()


def at(env: simpy.Environment, time_s: float, call: Callable[[], None]) -> None:
    """Do this then."""
    env.timeout(time_s).callbacks.append(lambda _: call())


def test_two_flows_share_a_side_and_the_longer_one_then_has_it_all(
    env: simpy.Environment, fluid: Fluid
) -> None:
    """Half each while both go on."""
    side = Side("x", RATE_BPS)
    short, long = fluid.start([side], 48), fluid.start([side], 96)
    settle(env)
    assert (short.rate_bps, long.rate_bps) == (48, 48)
    env.run(short)
    assert env.now == 1.0
    settle(env)
    assert (short.rate_bps, long.rate_bps) == (0, 96)
    env.run()
    assert env.now == 1.5


def test_what_a_flow_cannot_use_goes_to_the_others(env: simpy.Environment, fluid: Fluid) -> None:
    """Three flows share the narrow side; the fourth has what is left of the wide one."""
    a, b = Side("a", 1.0), Side("b", 2.0)
    flows = [fluid.start(route, 1) for route in ([a], [a], [a, b], [b])]
    settle(env)
    assert [flow.rate_bps for flow in flows] == pytest.approx([1 / 3, 1 / 3, 1 / 3, 5 / 3])


def test_a_share_is_by_weight_and_never_above_the_cap(env: simpy.Environment, fluid: Fluid) -> None:
    """What the capped flow leaves goes to the others by weight."""
    side = Side("x", RATE_BPS)
    capped = fluid.start([side], 96, weight=5, cap_bps=6)
    one, two = fluid.start([side], 96), fluid.start([side], 96, weight=2)
    settle(env)
    assert [flow.rate_bps for flow in (capped, one, two)] == pytest.approx([6, 30, 60])


def test_a_side_crossed_twice_carries_every_bit_twice(env: simpy.Environment, fluid: Fluid) -> None:
    """As one medium does between two stations and the point that relays for them."""
    air = Side("air", RATE_BPS)
    fluid.start([air, air], 96)
    env.run()
    assert env.now == 2.0


@pytest.mark.parametrize(
    ("route", "nbits"),
    [([], 96), ([Side("wide", math.inf)], 96), ([Side("narrow", 1.0)], 0)],
    ids=["no sides", "infinite sides", "no bits"],
)
def test_a_flow_that_nothing_slows_down_ends_in_its_instant(
    env: simpy.Environment, fluid: Fluid, route: list[Side], nbits: float
) -> None:
    """And its event is processed as any other."""
    flow = fluid.start(route, nbits)
    env.run()
    assert flow.processed
    assert env.now == 0


def test_a_cap_slows_down_a_flow_over_infinite_sides(env: simpy.Environment, fluid: Fluid) -> None:
    """Or over none at all."""
    fluid.start([Side("wide", math.inf)], 96, cap_bps=24)
    fluid.start([], 96, cap_bps=48)
    env.run()
    assert env.now == 4.0


def test_a_flow_stands_still_while_its_side_does(env: simpy.Environment, fluid: Fluid) -> None:
    """And goes on with what was left."""
    side = Side("x", RATE_BPS)
    flow = fluid.start([side], 96)
    at(env, 0.5, lambda: fluid.set_rate(side, 0))
    at(env, 7.0, lambda: fluid.set_rate(side, 2 * RATE_BPS))
    env.run(until=1.0)
    assert flow.rate_bps == 0
    env.run()
    assert env.now == 7.25


def test_the_clock_stops_at_the_last_end_and_not_at_one_that_was_expected_once(
    env: simpy.Environment, fluid: Fluid
) -> None:
    """A link that degrades for a while leaves no alarm behind."""
    side = Side("x", RATE_BPS)
    fluid.start([side], 96)
    at(env, 0.5, lambda: fluid.set_rate(side, 0.001))
    at(env, 1.0, lambda: fluid.set_rate(side, RATE_BPS))
    env.run()
    assert env.now == pytest.approx(1.5, rel=1e-3)


def test_starts_and_ends_of_one_instant_are_one_division(
    env: simpy.Environment, fluid: Fluid
) -> None:
    """Eight ranks in step: a division a round, and one when the last round is over."""
    sides = [Side(str(rank), RATE_BPS) for rank in range(8)]

    def program(side: Side) -> Generator[simpy.Event, Any, None]:
        for _ in range(5):
            yield fluid.start([side], 96)

    for side in sides:
        env.process(program(side))
    env.run()
    assert env.now == 5.0
    assert fluid._divisions == 6


def test_a_change_concerns_no_flow_with_its_bottleneck_elsewhere(
    env: simpy.Environment, fluid: Fluid
) -> None:
    """Two pairs over one wide trunk: what happens to one leaves the other as it is."""
    trunk = Side("trunk", 10 * RATE_BPS)
    near, far = Side("near", RATE_BPS), Side("far", RATE_BPS)
    steady = fluid.start([near, trunk], 960)
    settle(env)
    first = steady.round
    for nbits in (12, 24, 48):
        fluid.start([trunk, far], nbits)
    env.run(until=5.0)
    assert fluid._divisions > first
    assert (steady.round, steady.since_s, steady.left_bits) == (first, 0.0, 960)


def test_a_newcomer_takes_from_a_flow_with_its_bottleneck_elsewhere_where_it_must(
    env: simpy.Environment, fluid: Fluid
) -> None:
    """The side that was wide enough for one is full with two."""
    narrow, wide = Side("narrow", 60.0), Side("wide", 96.0)
    first = fluid.start([narrow, wide], 960)
    settle(env)
    second = fluid.start([wide], 960)
    settle(env)
    assert (first.rate_bps, second.rate_bps) == (48, 48)


def test_weights_may_be_far_apart(env: simpy.Environment, fluid: Fluid) -> None:
    """The light flow's share is not lost in rounding where a heavy one stopped elsewhere."""
    wide, narrow = Side("wide", 100.0), Side("narrow", 1.0)
    fluid.start([wide, narrow], 96, weight=1e16)
    light = fluid.start([wide], 96, weight=1e-3)
    settle(env)
    assert light.rate_bps == pytest.approx(99.0)


@pytest.mark.parametrize("rate_bps", [0.0, -1.0, math.nan])
def test_a_side_that_cannot_be_is_refused(rate_bps: float) -> None:
    """By name."""
    with pytest.raises(InputError, match="side 'up': rate_bps is"):
        Side("up", rate_bps)


@pytest.mark.parametrize("rate_bps", [-1.0, math.nan])
def test_a_new_rate_that_cannot_be_is_refused(fluid: Fluid, rate_bps: float) -> None:
    """By the side's name."""
    with pytest.raises(InputError, match=r"side 'up': rate_bps is .* expected 0 or more"):
        fluid.set_rate(Side("up", 1.0), rate_bps)


@pytest.mark.parametrize(
    ("nbits", "more", "said"),
    [
        (-1, {}, "flow of -1 bits"),
        (math.nan, {}, "flow of nan bits"),
        (math.inf, {}, "flow of inf bits"),
        (1, {"weight": 0.0}, "weight 0.0"),
        (1, {"weight": math.inf}, "weight inf"),
        (1, {"cap_bps": 0.0}, "cap_bps 0.0"),
        (1, {"cap_bps": math.nan}, "cap_bps nan"),
    ],
)
def test_a_flow_that_cannot_be_is_refused(
    fluid: Fluid, nbits: float, more: dict[str, float], said: str
) -> None:
    """With the number at fault."""
    with pytest.raises(InputError, match=said):
        fluid.start([Side("x", 1.0)], nbits, **more)


def test_a_side_serves_one_simulation(env: simpy.Environment, fluid: Fluid) -> None:
    """Flows that another simulation left on it would slow down this one."""
    side = Side("x", 1.0)
    fluid.start([side], 1)
    with pytest.raises(InputError, match="side 'x' is part of another simulation"):
        Fluid(env).start([side], 1)
