"""What a flow costs, in bare SimPy timeouts and against SimGrid, and how large a collective can be.

A flow is two events: its start and its end; where its rate changes in between, that is one more.
"""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Generator, Sequence
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import pytest
import simpy

from simnet.drivers.engine import collector_paused
from simnet.network.fluid import Flow, Fluid, Side
from simnet.validation import scenario, simgrid_process

pytestmark = pytest.mark.bench

RATE_BPS, NBITS = 1e9, 1e6
UNLIKE = [RATE_BPS * (1 + rank / 7) for rank in range(16)]
Process = Generator[simpy.Event, Any, None]
Route = tuple[Side, Side]


class Star:
    """Ranks on full-duplex links of their own to an ideal switch."""

    def __init__(self, rates: Sequence[float], fluid: type[Fluid] = Fluid) -> None:
        self.env = simpy.Environment()
        self.fluid = fluid(self.env)
        self.ranks = range(len(rates))
        self.up = [Side(f"up-{rank}", rate) for rank, rate in enumerate(rates)]
        self.down = [Side(f"down-{rank}", rate) for rank, rate in enumerate(rates)]

    def route(self, src: int, distance: int) -> Route:
        """To the rank so many places on."""
        return self.up[src], self.down[(src + distance) % len(self.ranks)]


class Cost(NamedTuple):
    """Of the events of one run."""

    total_s: float
    events: int

    @property
    def each_s(self) -> float:
        """Of one event."""
        return self.total_s / self.events


def run(env: simpy.Environment, events: int) -> Cost:
    """Its time from start to end; the collector paused, as the engine does."""
    with collector_paused():
        began_s = perf_counter()
        env.run()
        return Cost(perf_counter() - began_s, events)


def timeouts(ranks: int, rounds: int) -> Cost:
    """The measure: as many processes, each in one bare timeout after another."""
    env = simpy.Environment()

    def program() -> Process:
        for _ in range(rounds):
            yield env.timeout(1.0)

    for _ in range(ranks):
        env.process(program())
    return run(env, ranks * rounds)


def ring(rates: Sequence[float], rounds: int) -> Cost:
    """A ring all-gather: each rank sends to the next one, round after round."""
    star = Star(rates)

    def program(route: Route) -> Process:
        for _ in range(rounds):
            yield star.fluid.start(route, NBITS)

    for rank in star.ranks:
        star.env.process(program(star.route(rank, 1)))
    return run(star.env, 2 * rounds * len(rates))


def all_to_all(ranks: int, rounds: int) -> Cost:
    """Each rank sends to all others at once, and waits until all is sent."""
    star = Star([RATE_BPS] * ranks)

    def program(rank: int) -> Process:
        for _ in range(rounds):
            routes = [star.route(rank, distance) for distance in range(1, ranks)]
            for flow in [star.fluid.start(route, NBITS) for route in routes]:
                if not flow.processed:
                    yield flow

    for rank in star.ranks:
        star.env.process(program(rank))
    return run(star.env, 2 * rounds * ranks * (ranks - 1))


class Counting(Fluid):
    """Counts new rates, those of new flows included."""

    changes = 0

    def _change(self, flow: Flow, now_s: float) -> None:
        self.changes += 1
        super()._change(flow, now_s)


def uneven_all_to_all(ranks: int) -> Cost:
    """The same with sizes at random, so that each end changes the rates of many other flows."""

    def start(fluid: type[Fluid]) -> Star:
        star = Star([RATE_BPS] * ranks, fluid)
        sizes = iter(np.random.default_rng(0).uniform(0, NBITS, ranks * ranks).tolist())
        for rank in star.ranks:
            for distance in range(1, ranks):
                star.fluid.start(star.route(rank, distance), next(sizes))
        return star

    counted = start(Counting)
    counted.env.run()
    assert isinstance(counted.fluid, Counting)
    return run(start(Fluid).env, counted.fluid.changes + ranks * (ranks - 1))


def best(measure: Callable[[], Cost], times: int = 5) -> float:
    """Seconds an event, of the run that was disturbed least."""
    return min(measure().each_s for _ in range(times))


def report(what: str, value: str, bar: str) -> None:
    """On a line of its own, past pytest's dots."""
    print(f"\n{what}: {value} (bar: {bar})", end="")


@pytest.mark.parametrize(
    ("what", "measure"),
    [
        ("ring all-gather", lambda: ring([RATE_BPS] * 16, 1000)),
        ("ring all-gather, no two links alike", lambda: ring(UNLIKE, 1000)),
        ("all-to-all", lambda: all_to_all(16, 50)),
        ("all-to-all of uneven sizes", lambda: uneven_all_to_all(16)),
    ],
)
def test_a_flow_event_at_16_ranks_costs_a_few_bare_timeouts(
    what: str, measure: Callable[[], Cost]
) -> None:
    """A start, an end or a change of rate; the best of seven runs, in turn with bare ones."""
    pairs = [(timeouts(16, 1000).each_s, measure().each_s) for _ in range(7)]
    bare_s, each_s = map(min, zip(*pairs, strict=True))
    value = f"{each_s / bare_s:.2f} bare timeouts an event ({1e6 * each_s:.2f} us)"
    report(f"{what}, 16 ranks", value, "3")
    assert each_s < 3 * bare_s


@pytest.mark.parametrize(
    ("what", "measure"),
    [
        ("all-gather", lambda ranks: ring([RATE_BPS] * ranks, 16000 // ranks)),
        ("all-to-all", lambda ranks: all_to_all(ranks, max(1, 65536 // ranks**2 // 4))),
    ],
)
def test_the_time_of_a_flow_grows_less_than_twofold_from_16_to_256_ranks(
    what: str, measure: Callable[[int], Cost]
) -> None:
    """The best of five runs each."""
    few_s, many_s = best(lambda: measure(16)), best(lambda: measure(256))
    value = f"{1e6 * few_s:.2f} to {1e6 * many_s:.2f} us an event, {many_s / few_s:.2f}x"
    report(f"{what}, 16 to 256 ranks", value, "2x")
    assert many_s < 2 * few_s


@pytest.mark.parametrize(
    ("what", "measure"),
    [
        ("all-gather, 1024 ranks, 1,047,552 flows", lambda: ring([RATE_BPS] * 1024, 1023)),
        ("all-to-all, 256 ranks, 65,280 flows at once", lambda: all_to_all(256, 1)),
    ],
)
def test_a_large_collective_takes_under_20_s_and_2_gb(
    what: str, measure: Callable[[], Cost]
) -> None:
    """Once for the time and once for the memory, as tracing it takes time."""
    took_s = measure().total_s
    tracemalloc.start()
    measure()
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    report(what, f"{took_s:.2f} s, {peak_bytes / 1e6:.0f} MB", "20 s, 2 GB")
    assert took_s < 20
    assert peak_bytes < 2e9


def exchange(sizes: Sequence[Sequence[float]]) -> scenario.Scenario:
    """An all-to-all of flows of so many bytes, from rank to rank."""
    ranks = range(len(sizes))
    links = {f"{rank} {way}": RATE_BPS for rank in ranks for way in ("out", "in")}
    return scenario.Scenario(
        links,
        tuple(
            scenario.Flow(0.0, sizes[src][dst], (f"{src} out", f"{dst} in"))
            for src in ranks
            for dst in ranks
            if src != dst
        ),
    )


def seconds(play: Callable[[], object]) -> float:
    """Of one call."""
    began_s = perf_counter()
    play()
    return perf_counter() - began_s


@pytest.mark.parametrize(("ranks", "times"), [(16, 3), (64, 1)])
@pytest.mark.parametrize(("what", "least"), [("even", 125_000), ("uneven", 1)])
def test_the_same_all_to_all_in_simgrid(what: str, least: int, ranks: int, times: int) -> None:
    """Where it is installed. Ours is timed with its set-up, SimGrid's without, and told only."""
    what = f"all-to-all of {what} sizes, {ranks} ranks, against SimGrid"
    if simgrid_process.interpreter() is None:
        reason = "skipped, SimGrid is not installed"
        report(what, reason, "none")
        pytest.skip(reason)
    sizes = np.random.default_rng(0).integers(least, 125_001, (ranks, ranks)).tolist()
    world = exchange(sizes)
    theirs_s = min(simgrid_process.simulate([world]).wall_s for _ in range(times))
    with collector_paused():
        ours_s = min(seconds(lambda: scenario.play(world)) for _ in range(times))
    report(what, f"{ours_s:.3g} s to {theirs_s:.3g} s, {ours_s / theirs_s:.2f}x", "none")
