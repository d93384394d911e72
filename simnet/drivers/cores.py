"""A host's cores, which the computes of its ranks share."""

from __future__ import annotations

from typing import TYPE_CHECKING

from simnet.network.fluid import Fluid, Side
from traces.errors import InputError

if TYPE_CHECKING:
    import simpy

# What flows over the "link" of cores is work, in nanoseconds of one core.
_WORK = 1e9


class Cores:
    """So many, which computes under way at once share evenly; none gets more than one.

    So a scheduler shares cores over times that are long beside its slices (processor sharing).
    Raises InputError for less than one core.
    """

    def __init__(self, env: simpy.Environment, count: int) -> None:
        if count < 1:
            raise InputError(f"{count} cores, expected 1 or more")
        self._fluid = Fluid(env)
        self._side = Side("cores", count * _WORK)

    def work(self, cost_s: float) -> simpy.Event:
        """Over when a compute is done that takes so long by itself."""
        return self._fluid.start([self._side], cost_s * _WORK, cap_bps=_WORK)
