"""Flows that share links fairly, on SimPy's clock: no packets, only starts, ends and new rates."""

from __future__ import annotations

import heapq
import math
from collections.abc import Callable, Iterable, Sequence
from itertools import chain, count

import simpy
from simpy.events import NORMAL, EventPriority

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
    the bit. Where a side has a token bucket, its running out of tokens is such a change, too.
    """

    def __init__(self, env: simpy.Environment) -> None:
        self.env = env
        self._started: list[Flow] = []  # since the latest division
        self._changed: list[Side] = []  # that flows left since
        self._resized: list[Side] = []
        self._settling = False
        self._divisions = 0
        self._under_way = 0
        self._due: dict[float, list[Flow]] = {}  # by when they end, or were to end once
        self._ends: list[float] = []  # heap of these times
        self._alarm = Alarm(env, self._end_due)
        self._has_buckets = False
        self._numbers = count()
        self._empties: list[tuple[float, int, Side]] = []  # heap of when a bucket is, or was to be
        self._drained = Alarm(env, self._empty_due)

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
        flow = Flow(self.env, tuple(route), nbits, weight)
        if not nbits or not route:
            flow.succeed()
            return flow
        for side in flow.route:
            if side.owner is not self:
                self._own(side)
            side.flows[flow] = side.flows.get(flow, 0) + 1
            side.crossings += 1
        if weight != 1:
            for side in flow.route:
                side.weighted = True
        self._started.append(flow)
        self._under_way += 1
        if not self._settling:
            self._settle_later()
        return flow

    def set_rate(self, side: Side, rate_bps: float) -> None:
        """From now on the side carries this; at 0 its flows stand still.

        Raises InputError for a rate below 0 and for a side that is part of another simulation.
        """
        if not rate_bps >= 0:
            raise InputError(f"side {side.name!r}: rate_bps is {rate_bps}, expected 0 or more")
        if side.owner is not self:
            self._own(side)
        if side.bucket is None:
            side.rate_bps = rate_bps
        else:
            self._pour(side)  # at the old rate until now
            side.bucket.rate_bps = rate_bps
            side.rate_bps = side.bucket.flow(side.bucket.inflow_bps, self.env.now)
        self._resized.append(side)
        if not self._settling:
            self._settle_later()

    def _own(self, side: Side) -> None:
        if side.owner is not None:
            raise InputError(f"side {side.name!r} is part of another simulation; make a new one")
        side.owner = self
        self._has_buckets |= side.bucket is not None

    def _settle_later(self) -> None:
        """Divide anew when all that happens in this instant has happened."""
        self._settling = True
        self.env.schedule(Call(self.env, self._settle), _LAST)

    def _settle(self, _: simpy.Event) -> None:
        seeds, changed = self._started, self._changed
        for side in self._resized:
            seeds += side.flows
        self._divisions += 1
        now_s = self.env.now
        divided = share(seeds, changed, self._divisions)
        for flow in divided:
            if flow.share_bps != flow.rate_bps:
                self._change(flow, now_s)
        self._started, self._changed, self._resized = [], [], []
        self._settling = False
        if self._has_buckets:
            self._pour_all(chain(changed, *(flow.route for flow in divided)))
        self._arm()

    def _change(self, flow: Flow, now_s: float) -> None:
        """Give a flow its new rate, and put it down for its new end."""
        if flow.rate_bps:
            done_bits = flow.rate_bps * (now_s - flow.since_s)
            flow.left_bits = max(0.0, flow.left_bits - done_bits)
        flow.since_s = now_s
        flow.rate_bps = rate_bps = flow.share_bps
        flow.end_s = end_s = now_s + flow.left_bits / rate_bps if rate_bps else math.inf
        if end_s == math.inf:  # also of so many bits that no number holds it
            return
        due = self._due.get(end_s)
        if due is None:
            self._due[end_s] = [flow]
            heapq.heappush(self._ends, end_s)
        else:
            due.append(flow)

    def _pour_all(self, sides: Iterable[Side]) -> None:
        """Tell the buckets of these sides what comes in from now on."""
        for side in dict.fromkeys(sides):
            if side.bucket is not None:
                self._pour(side)
        self._arm_drained()

    def _pour(self, side: Side) -> None:
        bucket = side.bucket
        assert bucket is not None
        inflow_bps = sum(times * flow.rate_bps for flow, times in side.flows.items())
        rate_bps = bucket.flow(inflow_bps, self.env.now)
        if bucket.empty_s < math.inf:
            heapq.heappush(self._empties, (bucket.empty_s, next(self._numbers), side))
        if rate_bps < side.rate_bps:  # where it may carry more, nobody was waiting for that
            self._resized.append(side)
            if not self._settling:
                self._settle_later()
        side.rate_bps = rate_bps

    def _empty_due(self) -> None:
        """Slow down the sides whose tokens are used up now."""
        while self._empties and self._empties[0][0] <= self.env.now:
            empty_s, _, side = heapq.heappop(self._empties)
            assert side.bucket is not None
            if side.bucket.empty_s == empty_s:
                self._pour(side)
        self._arm_drained()

    def _arm_drained(self) -> None:
        """Be woken when the next bucket is empty."""
        empties = self._empties
        while empties:
            empty_s, _, side = empties[0]
            assert side.bucket is not None
            if side.bucket.empty_s == empty_s:
                self._drained.set(empty_s)
                return
            heapq.heappop(empties)
        self._drained.clear()

    def _arm(self) -> None:
        """Be woken when the next flow ends."""
        if len(self._ends) > 4 * self._under_way + 64:
            self._clean()
        ends, due = self._ends, self._due
        while ends:
            end_s = ends[0]
            for flow in due[end_s]:
                if flow.end_s == end_s:
                    self._alarm.set(end_s)
                    return
            del due[heapq.heappop(ends)]
        self._alarm.clear()

    def _clean(self) -> None:
        """Strike out the ends that no longer count, before they take up most of the memory."""
        struck = {
            end_s: [flow for flow in flows if flow.end_s == end_s]
            for end_s, flows in self._due.items()
        }
        self._due = {end_s: flows for end_s, flows in struck.items() if flows}
        self._ends = sorted(self._due)

    def _end_due(self) -> None:
        """Let the flows go that end now."""
        now_s = self.env.now
        if now_s not in self._due:
            self._arm()
            return
        changed = self._changed
        for flow in self._due.pop(heapq.heappop(self._ends)):
            if flow.end_s != now_s:
                continue
            route = flow.route
            for side in route:
                side.flows.pop(flow, None)
                side.crossings -= 1
            changed += route
            self._under_way -= 1
            flow.rate_bps = flow.left_bits = 0.0
            flow.end_s = math.inf
            flow.end()
        if not self._settling:
            self._settle_later()


class Call(simpy.Event):
    """An event that only calls back; to be scheduled."""

    def __init__(self, env: simpy.Environment, back: Callable[[simpy.Event], None]) -> None:
        self.env = env  # as simpy.Timeout does, for speed: Event has nothing else to set
        self.callbacks = [back]
        self._ok, self._value = True, None


class Alarm:
    """Calls back at given times, to the bit.

    SimPy takes a delay, and now + (time - now) may miss the time by a rounding. And what it has
    scheduled it keeps, so that a time that no longer counts would make the simulation last longer
    than anything in it. Hence this reaches into its queue.
    """

    def __init__(self, env: simpy.Environment, ring: Callable[[], None]) -> None:
        self._env = env
        self._queue = env._queue  # noqa: SLF001
        self._ring = ring
        self._entries: list[tuple[simpy.core.SimTime, EventPriority, int, simpy.Event]] = []

    def set(self, time_s: float) -> None:
        """Ring at this time, unless it rings before that anyway."""
        if self._entries and self._entries[-1][0] <= time_s:
            return
        number = next(self._env._eid)  # noqa: SLF001
        entry = time_s, NORMAL, number, Call(self._env, self._go_off)
        heapq.heappush(self._queue, entry)
        self._entries.append(entry)  # so the earliest is the last

    def _go_off(self, _: simpy.Event) -> None:
        self._entries.pop()
        self._ring()

    def clear(self) -> None:
        """Ring no more."""
        if self._entries:
            for entry in self._entries:
                self._queue.remove(entry)
            heapq.heapify(self._queue)
            self._entries.clear()


def _nonsense(nbits: float, weight: float, cap_bps: float) -> InputError:
    if not 0 <= nbits < math.inf:
        return InputError(f"a flow of {nbits} bits; expected 0 or more, and finite")
    if not 0 < weight < math.inf:
        return InputError(f"a flow with weight {weight}; expected more than 0, and finite")
    return InputError(f"a flow with cap_bps {cap_bps}; expected more than 0")
