"""A topology under conditions: a network like any other, that a seed makes one of many."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial
from itertools import count

import numpy as np
import simpy

from simnet.network.carriage import Callback, Carrier, Way, then
from simnet.network.conditions.conditions import Conditions
from simnet.network.conditions.named import Named
from simnet.network.conditions.sites import Sites
from simnet.network.conditions.spells import Spells, Toggle
from simnet.network.conditions.weather import Weather
from simnet.network.network import Exchange
from traces.errors import InputError

# Each has random numbers of its own, so that none changes what another one draws.
_LATENCY, _COMPUTE, _BACKGROUND, _DEGRADATION, _OUTAGE = range(5)


@dataclass(frozen=True)
class Under:
    """A topology under conditions, for so many ranks.

    They are `conditions` alone: those of the topology's file must be joined to them. The same seed
    gives the same run, to the bit. A message's jitter depends on the seed, on who
    sends it to whom and on how many they have sent before; a compute's on the rank and on how
    many came before; spells on the time alone. So two schedules, or two networks, can be compared
    under the same luck.

    Raises InputError for a hop, or a rank, that there is none of, and for conditions on a hop of
    infinite rate (see Sites).
    """

    topology: Named
    conditions: Conditions
    ranks: int
    seed: int = 0

    def __post_init__(self) -> None:
        if self.seed < 0:
            raise InputError(f"the seed of the conditions is {self.seed}, expected 0 or more")
        self.sites.check(self.conditions)

    @property
    def name(self) -> str:
        """The topology's, the conditions, and the seed where it matters."""
        seed = f", seed {self.seed}" if self.conditions.random else ""
        conditions = str(self.conditions)
        return f"{self.topology.name} with {conditions}{seed}" if conditions else self.topology.name

    @cached_property
    def sites(self) -> Sites:
        """Where conditions may hold."""
        return Sites(self.topology, self.ranks)

    def traffic(self, env: simpy.Environment) -> Carrier:
        """All links idle, and the conditions as they are at time 0."""
        return _Disturbed(self, env)

    def pace(self, rank: int) -> Callable[[float], float]:
        """From the cost of this rank's computes, in the order it does them, to what they take."""
        slowdowns = {each.rank: each.slowdown for each in self.conditions.stragglers}
        slowdown = slowdowns.get(rank, 1.0)
        if not self.conditions.jitter.compute:
            return lambda cost_s: slowdown * cost_s
        draw = _gamma(self.stream(_COMPUTE, rank), 1.0, self.conditions.jitter.compute)
        return lambda cost_s: slowdown * cost_s * draw()

    def stream(self, *key: int) -> np.random.Generator:
        """Random numbers that nothing with another key draws from."""
        return np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=key))


class _Disturbed(Carrier):
    """A topology in use under conditions."""

    def __init__(self, under: Under, env: simpy.Environment) -> None:
        super().__init__(under.topology, env)
        self.under = under
        self.jitter = under.conditions.jitter
        self.weather = Weather(env, self.fluid)
        self.parts = 0  # of the exchanges under way, that a rank has yet to end
        for number, each in enumerate(under.conditions.background):
            sides = [self.side(hop) for hop in under.sites.route(each)]
            toggle = self._toggle(each.spells, _BACKGROUND, number)
            self.weather.load(toggle, sides, each)
        numbers = {_DEGRADATION: count(), _OUTAGE: count()}
        for fault in under.conditions.degradations:
            sides = [self.side(hop) for hop in under.sites.named(fault)]
            cause = _DEGRADATION if fault.factor else _OUTAGE
            toggle = self._toggle(fault.spells, cause, next(numbers[cause]))
            self.weather.degrade(toggle, sides, fault.factor)

    def carry(self, exchange: Exchange) -> list[simpy.Event]:
        """See Carrier."""
        if not self.parts:
            self.weather.wake()
        done = super().carry(exchange)
        self.parts += len(done)
        for event in done:
            then(event, self._part_done)
        return done

    def way(self, src: int, dst: int) -> Way:
        """See Carrier."""
        if not self.jitter.mean_s:
            return super().way(src, dst)
        way = self.ways.get((src, dst))
        if way is None:
            plain = super().way(src, dst)
            rng = self.under.stream(_LATENCY, src, dst)
            draw = _gamma(rng, self.jitter.mean_s, self.jitter.variation)
            way = self.ways[src, dst] = _Late(self, plain, draw)
        return way

    def _part_done(self) -> None:
        self.parts -= 1
        if not self.parts:
            self.weather.rest()

    def _toggle(self, spells: Spells, *key: int) -> Toggle:
        return Toggle(spells.edges(self.under.stream(*key)))


class _Late(Way):
    """A path in use, on which each message arrives later than it would."""

    def __init__(self, carrier: Carrier, way: Way, draw: Callable[[], float]) -> None:
        super().__init__(carrier, way.path, way.sides, way.back)
        self.draw = draw

    def transmit(self, nbytes: float, sent: Callback, arrived: Callback) -> None:
        """See Way; numbers are drawn in the order in which messages begin."""
        later_s = self.draw()
        super().transmit(nbytes, sent, lambda: then(self.env.timeout(later_s), arrived))


def _gamma(rng: np.random.Generator, mean: float, variation: float) -> Callable[[], float]:
    """Draws with this mean and this standard deviation over mean, and so in scale with the mean."""
    shape = variation**-2
    return partial(rng.gamma, shape, mean / shape)
