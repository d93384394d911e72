"""Flows that set out over shared links: when each of them ends, here and in another simulator."""

from __future__ import annotations

import math
from collections.abc import Generator, Mapping, Sequence
from typing import Any, NamedTuple

import simpy

from simnet.network.fluid import Fluid, Side
from traces.units import bits

#: Largest error, relative to a flow's duration, at which two flow-level models are one.
LIMIT = 1e-9

#: Files' numbers are no larger, and rates no smaller than one over it, so that times stay finite.
LARGEST = 1e30


class Flow(NamedTuple):
    """Bytes that set out over some links; their first bit does so `latency_s` after the start."""

    start_s: float
    nbytes: float
    route: tuple[str, ...]
    latency_s: float = 0.0


class Change(NamedTuple):
    """From this time on, a link has another rate."""

    time_s: float
    link: str
    rate_bps: float


class Scenario(NamedTuple):
    """Links by name with their rate in bit/s, the flows that share them, and what changes."""

    links: Mapping[str, float]
    flows: tuple[Flow, ...]
    changes: tuple[Change, ...] = ()


class Case(NamedTuple):
    """A scenario, and when its flows end in another simulator."""

    name: str
    scenario: Scenario
    expected_s: tuple[float, ...]


class Row(NamedTuple):
    """One flow in both simulators; `error` is relative to its duration in the other one."""

    case: str
    flow: int
    finish_s: float
    expected_s: float
    error: float

    def __str__(self) -> str:
        return (
            f"{self.case}: flows[{self.flow}] ends at {self.finish_s!r} s, expected "
            f"{self.expected_s!r} s: an error of {self.error:.1e} of its duration"
        )


def compare(cases: Sequence[Case]) -> list[Row]:
    """Simulate all cases; a row for each flow, in their order."""
    return [
        Row(case.name, index, finish_s, expected_s, error(flow.start_s, finish_s, expected_s))
        for case in cases
        for index, (flow, finish_s, expected_s) in enumerate(
            zip(case.scenario.flows, play(case.scenario), case.expected_s, strict=True)
        )
    ]


def error(start_s: float, finish_s: float, expected_s: float) -> float:
    """Of an end, relative to the expected duration. One of no time is either right or all wrong."""
    off_s, took_s = abs(finish_s - expected_s), expected_s - start_s
    return off_s / took_s if took_s else float(off_s > 0)


def play(scenario: Scenario) -> list[float]:
    """When each flow ends, in seconds, with max-min fair sharing; infinite if it never does."""
    env = simpy.Environment()
    fluid = Fluid(env)
    sides = {name: Side(name, rate_bps) for name, rate_bps in scenario.links.items()}
    ends_s = [math.inf] * len(scenario.flows)

    def carry(index: int, flow: Flow) -> Generator[simpy.Event, Any, None]:
        yield env.timeout(flow.start_s + flow.latency_s)
        yield fluid.start([sides[name] for name in flow.route], bits(flow.nbytes))
        ends_s[index] = env.now

    def change(time_s: float, link: str, rate_bps: float) -> Generator[simpy.Event, Any, None]:
        yield env.timeout(time_s)
        fluid.set_rate(sides[link], rate_bps)

    for index, flow in enumerate(scenario.flows):
        env.process(carry(index, flow))
    for changed in scenario.changes:
        env.process(change(*changed))
    env.run()
    return ends_s
