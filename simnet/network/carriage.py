"""Carries exchanges as flows: rounds of them, one after the other, over links that they share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import NamedTuple, Protocol

import simpy

from simnet.network.collectives import LOWERED, Flow
from simnet.network.fluid import Fluid, Side
from simnet.network.network import Exchange
from traces.units import bits


class Hop(NamedTuple):
    """One direction of a link, or a medium that both directions share. A name stands for one."""

    name: str
    rate_bps: float


class Routed(Protocol):
    """A topology, as far as carrying goes."""

    @property
    def message_s(self) -> float:
        """What a sender does for a message before its first bit."""
        ...

    def route(self, src: int, dst: int) -> Sequence[Hop]:
        """The links that a message crosses."""
        ...

    def delay_s(self, src: int, dst: int) -> float:
        """From the sender's last bit to the receiver's."""
        ...


class Carrier:
    """A topology in use: the flows on its links."""

    def __init__(self, topology: Routed, env: simpy.Environment) -> None:
        self.topology = topology
        self.env = env
        self.fluid = Fluid(env)
        self.sides: dict[str, Side] = {}
        self.paths: dict[tuple[int, int], tuple[list[Side], float]] = {}

    def carry(self, exchange: Exchange) -> list[simpy.Event]:
        """Start the exchange's first flows; the others follow by themselves."""
        rounds = LOWERED[exchange.kind](exchange.ranks, exchange.nbytes)
        return Carriage(self, exchange.ranks, rounds).begin()

    def send(self, flow: Flow, sent: Callable[[], None], arrived: Callable[[], None]) -> None:
        """One message; tells when its last bit has left, and when it is there."""
        path = self.paths.get((flow.src, flow.dst))
        if path is None:
            path = self.paths[flow.src, flow.dst] = self._path(flow.src, flow.dst)
        if self.topology.message_s:
            begin = partial(self._transmit, path, flow, sent, arrived)
            _then(self.env.timeout(self.topology.message_s), begin)
        else:
            self._transmit(path, flow, sent, arrived)

    def _path(self, src: int, dst: int) -> tuple[list[Side], float]:
        """The sides that slow a message down, and the latency."""
        sides = []
        for hop in self.topology.route(src, dst):
            if hop.rate_bps < math.inf:
                if hop.name not in self.sides:
                    self.sides[hop.name] = Side(hop.name, hop.rate_bps)
                sides.append(self.sides[hop.name])
        return sides, self.topology.delay_s(src, dst)

    def _transmit(
        self,
        path: tuple[list[Side], float],
        flow: Flow,
        sent: Callable[[], None],
        arrived: Callable[[], None],
    ) -> None:
        sides, delay_s = path

        def left() -> None:
            sent()
            if delay_s:
                _then(self.env.timeout(delay_s), arrived)
            else:
                arrived()

        # Also where nothing slows it down it is an event: a thousand rounds are no deep recursion.
        event = self.fluid.start(sides, bits(flow.nbytes)) if sides else self.env.timeout(0)
        _then(event, left)


class Carriage:
    """One exchange under way. A rank enters a round when its flows of the last one ended."""

    def __init__(self, carrier: Carrier, ranks: Sequence[int], rounds: list[list[Flow]]) -> None:
        self.carrier = carrier
        self.ranks = ranks
        self.rounds = [_by_rank(flows) for flows in rounds]
        self.done = {rank: carrier.env.event() for rank in ranks}
        self.entered = dict.fromkeys(ranks, -1)
        self.parts = dict.fromkeys(ranks, 0)  # of this round that a rank has yet to end

    def begin(self) -> list[simpy.Event]:
        """Let all ranks in; gives the events at which each is through."""
        for rank in self.ranks:
            self._enter(rank)
        return [self.done[rank] for rank in self.ranks]

    def _enter(self, rank: int) -> None:
        number = self.entered[rank] + 1
        while number < len(self.rounds) and rank not in self.rounds[number]:
            number += 1  # it has no part in that round
        self.entered[rank] = number
        if number == len(self.rounds):
            self.done[rank].succeed()
            return
        flows = self.rounds[number][rank]
        self.parts[rank] = len(flows)
        for flow in flows:
            peer = flow.dst if flow.src == rank else flow.src
            if self.entered[peer] == number:
                sent = partial(self._part_done, flow.src)
                self.carrier.send(flow, sent, partial(self._part_done, flow.dst))

    def _part_done(self, rank: int) -> None:
        self.parts[rank] -= 1
        if not self.parts[rank]:
            self._enter(rank)


def _by_rank(flows: list[Flow]) -> dict[int, list[Flow]]:
    parts: dict[int, list[Flow]] = {}
    for flow in flows:
        parts.setdefault(flow.src, []).append(flow)
        parts.setdefault(flow.dst, []).append(flow)
    return parts


def _then(event: simpy.Event, call: Callable[[], None]) -> None:
    callbacks = event.callbacks
    assert callbacks is not None, "an event of the past"
    callbacks.append(lambda _: call())
