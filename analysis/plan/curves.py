"""A plan's latency as its network gets faster or slower: many rates at once where that is exact."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from analysis.plan.networks import scaled, spread
from analysis.plan.steady import settled, simulated_s
from simnet.lowering.evaluate import evaluate
from simnet.lowering.lower import lower
from simnet.lowering.price import price

if TYPE_CHECKING:
    from analysis.plan.setting import Setting
    from simnet.lowering.graph import Graph
    from simnet.network.topology import Topology
    from simnet.schedules.base import TeamSchedule

Array = NDArray[np.float64]

#: Factors of a grid, for each factor of ten; and every how many-th is simulated if it must be. Of
#: crossings that are closer together than two of them, two are missed.
_PER_DECADE, _EVERY = 8, 8


@dataclass(frozen=True)
class Grid:
    """Factors from the least to the most, even in their logarithms."""

    least: float
    most: float

    @property
    def factors(self) -> Array:
        """All, where one more costs little."""
        decades = np.log10(self.most / self.least)
        count = 1 + _EVERY * max(1, round(_PER_DECADE * decades / _EVERY))
        return np.geomspace(self.least, self.most, count)

    @property
    def coarse(self) -> range:
        """Places of those where each has to be simulated."""
        return range(0, len(self.factors), _EVERY)


@dataclass(eq=False)
class Curve:
    """Of one plan in one setting; factors are of the network's rates."""

    setting: Setting
    text: str
    schedule: TeamSchedule  # as it was named
    simulated: dict[float, float] = field(default_factory=dict)  # by factor
    swept: dict[Grid, Array] = field(default_factory=dict)
    refusing: bool = False  # that the graph tells nothing at any rate of a grid
    steps: int = 0  # that it took to settle last: it may settle as soon again

    def total_s(self, factor: float) -> float:
        """By the graph of the operations, or where that refuses by the simulator."""
        if not self.refusing and not np.isnan(quick := self.quickly_s([factor])[0]):
            return float(quick)
        return self.exactly_s(factor)

    def exactly_s(self, factor: float) -> float:
        """By the discrete-event simulator."""
        if factor not in self.simulated:
            there = self.setting.on(scaled(self.setting.network, factor))
            job = there.job_of(self.schedule)
            found = settled(there, self._chosen, job, self.steps)
            self.steps = self.setting.steps if found is None else found.steps
            total_s = simulated_s(there, self._graph) if found is None else found.total_s
            self.simulated[factor] = total_s
        return self.simulated[factor]

    def quickly_s(self, factors: Sequence[float] | Array) -> Array:
        """By the graph of the operations, which is as exact; NaN where it refuses."""
        setting = self.setting
        return evaluate(
            self._graph,
            price(self._graph, setting.cost),
            spread(setting.network, [float(factor) for factor in factors]),
            transfer_share=setting.cost.transfer_share,
            outside_s=setting.outside_s,
        ).total_s

    def on(self, network: Topology) -> Curve:
        """The same plan on another network."""
        there = Curve(self.setting.on(network), self.text, self.schedule, refusing=self.refusing)
        there.__dict__["_graph"] = self._graph
        return there

    def over_s(self, grid: Grid) -> Array:
        """At all of a grid's factors, or at the coarse ones and NaN elsewhere; asked for once."""
        if grid not in self.swept:
            totals = self.quickly_s(grid.factors)
            self.refusing = bool(np.isnan(totals).all())
            if np.isnan(totals).any():
                for place in grid.coarse:
                    if np.isnan(totals[place]):
                        totals[place] = self.exactly_s(float(grid.factors[place]))
            self.swept[grid] = totals
        return self.swept[grid]

    @cached_property
    def _chosen(self) -> TeamSchedule:
        return self.setting.as_run(self.schedule)

    @cached_property
    def _graph(self) -> Graph:
        return lower(self._chosen, self.setting.job_of(self.schedule))
