"""What changes on the links while they are in use: other traffic comes and goes, rates fall."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import simpy

from simnet.network.conditions.conditions import Background
from simnet.network.conditions.spells import Toggle
from simnet.network.fluid import Alarm, Fluid, Side

#: More than any background flow gets through: such a flow never ends, it only stands still.
_ENDLESS_BITS = 1e300
#: The weight of a flow that takes its rate before others get theirs.
_FIRST = 1e6


class Load(NamedTuple):
    """A background flow: it is on its way all the time, through a gate that opens and shuts."""

    toggle: Toggle
    rate_bps: float
    gate: Side


class Fault(NamedTuple):
    """A degradation of some sides."""

    toggle: Toggle
    factor: float


class Weather:
    """Keeps the rates of sides up to date between `wake` and `rest`.

    While nothing is under way nothing is scheduled, so that a simulation ends when its programs
    end, and a deadlock is seen. What has happened meanwhile is made up for: whether it is a spell
    depends on the time and on the seed, not on who is there to notice.
    """

    def __init__(self, env: simpy.Environment, fluid: Fluid) -> None:
        self.env = env
        self.fluid = fluid
        self.toggles: list[Toggle] = []
        self.loads: list[Load] = []
        self.faults: dict[Side, list[Fault]] = {}
        self.idle_bps: dict[Side, float] = {}  # of sides with faults, when all is well
        self.alarm = Alarm(env, self._update)

    def load(self, toggle: Toggle, sides: Sequence[Side], background: Background) -> None:
        """A flow of up to its rate over these sides."""
        gate = Side("gate", background.rate_bps)
        weight = _FIRST if background.paced else 1.0
        self.fluid.start([*sides, gate], _ENDLESS_BITS, weight=weight)
        self.fluid.set_rate(gate, 0)
        self.toggles.append(toggle)
        self.loads.append(Load(toggle, background.rate_bps, gate))

    def degrade(self, toggle: Toggle, sides: Sequence[Side], factor: float) -> None:
        """This factor on the rates of these sides."""
        self.toggles.append(toggle)
        for side in sides:
            self.idle_bps.setdefault(side, side.lasting_bps)
            self.faults.setdefault(side, []).append(Fault(toggle, factor))

    def wake(self) -> None:
        """From now on something is under way."""
        self._update()

    def rest(self) -> None:
        """Nothing is any more."""
        self.alarm.clear()
        for load in self.loads:
            self._set(load.gate, 0.0)

    def _update(self) -> None:
        next_s = math.inf
        for toggle in self.toggles:
            toggle.advance(self.env.now)
            next_s = min(next_s, toggle.next_s)
        for toggle, rate_bps, gate in self.loads:
            self._set(gate, rate_bps if toggle.on else 0.0)
        for side, faults in self.faults.items():
            factor = math.prod(fault.factor for fault in faults if fault.toggle.on)
            self._set(side, self.idle_bps[side] * factor)
        if next_s < math.inf:
            self.alarm.set(next_s)

    def _set(self, side: Side, rate_bps: float) -> None:
        if side.lasting_bps != rate_bps:
            self.fluid.set_rate(side, rate_bps)
