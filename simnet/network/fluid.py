"""Flows that share links fairly, on SimPy's clock: no packets, only starts, ends and new rates."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Sequence

import simpy
from simpy.core import EventPriority
from simpy.events import NORMAL

from simnet.network.filling import Flow, Side, share
from traces.errors import InputError

__all__ = ["Flow", "Fluid", "Side"]

#: After everything else that happens at one instant.
_LAST = EventPriority(2)


class Fluid:
    """All flows of one simulation.

    Rates are weighted max-min fair (see filling.py) and change at the end of an instant in which
    flows start or end, or a side's rate changes: once for all of them, and only where it matters.
    Between changes nothing happens. A flow that nothing disturbs ends at start + bits / rate, to
    the bit.
    """

    def __init__(self, env: simpy.Environment) -> None:
        self.env = env
        self._started: list[Flow] = []  # since the latest division
        self._changed: list[Side] = []  # that flows left since
        self._resized: list[Side] = []
        self._settling = False
        self._divisions = 0
        self._due: dict[float, dict[Flow, None]] = {}  # flows by when they end
        self._ends: list[float] = []  # heap of these times, and of some that no longer count
        self._alarm = Alarm(env, self._end_due)

    def start(
        self,
        route: Sequence[Side],
        nbits: float,
        *,
        weight: float = 1.0,
        cap_bps: float = math.inf,
    ) -> Flow:
        """A flow over these sides from now on, which succeeds when its last bit has left.

        A side that stands in the route twice carries every bit twice. A flow of no bits, or with
        nothing to slow it down, ends in this instant. Raises InputError for a number that makes
        no sense and for a side that is part of another simulation.
        """
        if not (0 <= nbits < math.inf and 0 < weight < math.inf and cap_bps > 0):
            raise _nonsense(nbits, weight, cap_bps)
        if cap_bps < math.inf:
            route = (*route, Side("cap", cap_bps))  # a side of its own
        flow = Flow(self.env, route, nbits, weight)
        if not nbits or not route:
            flow.succeed()
            return flow
        for side in route:
            if side.owner is not self:
                self._own(side)
            side.flows[flow] = side.flows.get(flow, 0) + 1
            side.crossings += 1
        if weight != 1:
            for side in route:
                side.weighted = True
        self._started.append(flow)
        if not self._settling:
            self._settle_later()
        return flow

    def set_rate(self, side: Side, rate_bps: float) -> None:
        """From now on the side carries this; at 0 its flows stand still. Raises InputError if < 0."""
        if not rate_bps >= 0:
            raise InputError(f"side {side.name!r}: rate_bps is {rate_bps}, expected 0 or more")
        if side.owner is not self:
            self._own(side)
        side.rate_bps = rate_bps
        self._resized.append(side)
        if not self._settling:
            self._settle_later()

    def _own(self, side: Side) -> None:
        if side.owner is not None:
            raise InputError(f"side {side.name!r} is part of another simulation; make a new one")
        side.owner = self

    def _settle_later(self) -> None:
        """Divide anew when all that happens in this instant has happened."""
        self._settling = True
        event = self.env.event()
        event.callbacks.append(self._settle)
        event._ok, event._value = True, None  # noqa: SLF001 - as succeed() does, but comes last
        self.env.schedule(event, _LAST)

    def _settle(self, _: simpy.Event) -> None:
        seeds, changed = self._started, self._changed
        for side in self._resized:
            seeds += side.flows
        self._divisions += 1
        now_s = self.env.now
        for flow in share(seeds, changed, self._divisions):
            if flow.share_bps != flow.rate_bps:
                self._change(flow, now_s)
        self._started, self._changed, self._resized = [], [], []
        self._settling = False
        self._arm()

    def _change(self, flow: Flow, now_s: float) -> None:
        """Give a flow its new rate, and put it down for its new end."""
        if flow.rate_bps:
            done_bits = flow.rate_bps * (now_s - flow.since_s)
            flow.left_bits = max(0.0, flow.left_bits - done_bits)
            self._strike(flow)
        flow.since_s = now_s
        flow.rate_bps = rate_bps = flow.share_bps
        if not rate_bps:
            return
        flow.end_s = end_s = now_s + flow.left_bits / rate_bps
        due = self._due.get(end_s)
        if due is None:
            self._due[end_s] = {flow: None}
            heapq.heappush(self._ends, end_s)
        else:
            due[flow] = None

    def _strike(self, flow: Flow) -> None:
        due = self._due[flow.end_s]
        del due[flow]
        if not due:
            del self._due[flow.end_s]

    def _arm(self) -> None:
        """Be woken when the next flow ends."""
        if len(self._ends) > 2 * len(self._due) + 64:
            self._ends = sorted(self._due)
        while self._ends and self._ends[0] not in self._due:
            heapq.heappop(self._ends)
        if self._ends:
            self._alarm.set(self._ends[0])
        else:
            self._alarm.clear()

    def _end_due(self) -> None:
        """Let the flows go that end now."""
        due = self._due.pop(self.env.now, None)
        if due is None:
            self._arm()
            return
        schedule, changed = self.env.schedule, self._changed
        for flow in due:
            route = flow.route
            for side in route:
                side.flows.pop(flow, None)
                side.crossings -= 1
            changed += route
            flow.rate_bps = flow.left_bits = 0.0
            flow._ok, flow._value = True, None  # noqa: SLF001 - a quicker succeed()
            schedule(flow)
        if not self._settling:
            self._settle_later()


class Alarm:
    """Calls back at given times, to the bit.

    SimPy takes a delay, and now + (time - now) may miss the time by a rounding. And what it has
    scheduled it keeps, so that a time that no longer counts would make the simulation last longer
    than anything in it. Hence this reaches into its queue.
    """

    def __init__(self, env: simpy.Environment, ring: Callable[[], None]) -> None:
        self._env = env
        self._ring = ring
        self._entries: list[tuple[float, EventPriority, int, simpy.Event]] = []  # earliest last

    def set(self, time_s: float) -> None:
        """Ring at this time, unless it rings before that anyway."""
        if self._entries and self._entries[-1][0] <= time_s:
            return
        event = simpy.Event(self._env)
        event.callbacks.append(self._go_off)
        event._ok, event._value = True, None
        entry = time_s, NORMAL, next(self._env._eid), event
        heapq.heappush(self._env._queue, entry)
        self._entries.append(entry)

    def _go_off(self, _: simpy.Event) -> None:
        self._entries.pop()
        self._ring()

    def clear(self) -> None:
        """Ring no more."""
        if self._entries:
            queue = self._env._queue
            for entry in self._entries:
                queue.remove(entry)
            heapq.heapify(queue)
            self._entries.clear()


def _nonsense(nbits: float, weight: float, cap_bps: float) -> InputError:
    if not 0 <= nbits < math.inf:
        return InputError(f"a flow of {nbits} bits; expected 0 or more, and finite")
    if not 0 < weight < math.inf:
        return InputError(f"a flow with weight {weight}; expected more than 0, and finite")
    return InputError(f"a flow with cap_bps {cap_bps}; expected more than 0")
