"""Carries exchanges as flows: rounds of them, one after the other, over links that they share."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import simpy

from simnet.network.collectives.flow import Flow
from simnet.network.collectives.selection import Posted, Selection
from simnet.network.connections import Connections, can_carry
from simnet.network.fluid import Fluid, Side
from simnet.network.network import Exchange
from simnet.network.path import Hop, Path, Paths
from simnet.network.tokens import Bucket
from traces.units import bits

Callback = Callable[[], None]


class Routed(Paths, Protocol):
    """A topology, as far as carrying goes."""

    @property
    def collectives(self) -> Selection:
        """How collectives become flows."""
        ...


class Carrier:
    """A topology in use: the flows on its links."""

    def __init__(self, topology: Routed, env: simpy.Environment) -> None:
        self.topology = topology
        self.env = env
        self.fluid = Fluid(env)
        self.sides: dict[str, Side] = {}
        self.ways: dict[tuple[int, int], Way] = {}
        self.connections = Connections(self)

    def carry(self, exchange: Exchange) -> list[simpy.Event]:
        """Start the exchange's first flows; the others follow by themselves."""
        collectives = self.topology.collectives
        if isinstance(collectives, Posted) and can_carry(exchange):
            return self.connections.carry(exchange)
        if exchange.sizes is None:
            ranks = exchange.from_root()
            rounds = collectives.rounds(exchange.kind, ranks, exchange.nbytes, self.topology)
        else:
            rounds = collectives.uneven(exchange.ranks, exchange.sizes)
        return Carriage(self, exchange, rounds).begin()

    def way(self, src: int, dst: int) -> Way:
        """The path from one rank to another, in use."""
        way = self.ways.get((src, dst))
        if way is None:
            path = self.topology.path(src, dst)
            back = self._sides(dst, src) if path.acks else ()
            way = self.ways[src, dst] = Way(self, path, self._sides(src, dst), back)
        return way

    def _sides(self, src: int, dst: int) -> list[Side]:
        """That slow a message down."""
        hops = self.topology.path(src, dst).hops
        return [self.side(hop) for hop in hops if hop.rate_bps < math.inf]

    def side(self, hop: Hop) -> Side:
        """The side of a link that this hop stands for."""
        if hop.name not in self.sides:
            bucket = None
            if hop.burst_bytes:
                bucket = Bucket(hop.rate_bps, bits(hop.burst_bytes), hop.peak_bps)
            self.sides[hop.name] = Side(hop.name, hop.rate_bps, bucket, hop.contention)
        return self.sides[hop.name]


class Way:
    """A path in use: the sides of its links that slow a message down."""

    def __init__(
        self, carrier: Carrier, path: Path, sides: Sequence[Side], back: Sequence[Side] = ()
    ) -> None:
        self.env = carrier.env
        self.fluid = carrier.fluid
        self.path = path
        self.sides = sides
        self.back = back  # what acknowledgements cross

    def send(self, nbytes: float, since_s: float, sent: Callback, arrived: Callback) -> None:
        """One message; tells when its last bit has left, and when it is there.

        The receiver has been ready for it since `since_s`, and the sender is now.
        """
        start_s = self.path.message_s
        if self.path.ready_s:
            start_s += max(0.0, since_s + self.path.ready_s - self.env.now)
        transmit = partial(self.transmit, nbytes, sent, arrived)
        if start_s:
            then(self.env.timeout(start_s), transmit)
        else:
            transmit()

    def transmit(self, nbytes: float, sent: Callback, arrived: Callback) -> None:
        """The bits of a message, from now on; tells as `send` does."""
        if self.path.acks:
            self.fluid.start(self.back, bits(nbytes * self.path.acks))
        delay_s = self.path.latency_s

        def left() -> None:
            sent()
            if delay_s:
                then(self.env.timeout(delay_s), arrived)
            else:
                arrived()

        cap_bps = self.path.cap_bps
        event: simpy.Event
        # Also where nothing slows it down it is an event: a thousand rounds are no deep recursion.
        if self.sides or cap_bps < math.inf:
            event = self.fluid.start(self.sides, bits(nbytes), cap_bps=cap_bps)
        else:
            event = self.env.timeout(0)
        then(event, left)


class Carriage:
    """One exchange under way. A rank enters a round when its flows of the last one ended."""

    def __init__(self, carrier: Carrier, exchange: Exchange, rounds: list[list[Flow]]) -> None:
        self.carrier = carrier
        self.ranks = exchange.ranks
        # A thousand rounds that are alike are one list (see Round), and are sorted once.
        unlike = {id(flows): flows for flows in rounds}
        by_rank = {key: _by_rank(flows) for key, flows in unlike.items()}
        self.rounds = [by_rank[id(flows)] for flows in rounds]
        self.done = {rank: carrier.env.event() for rank in self.ranks}
        self.entered = dict.fromkeys(self.ranks, -1)
        self.since_s = dict(zip(self.ranks, exchange.since_s, strict=True))
        self.parts = dict.fromkeys(self.ranks, 0)  # of this round that a rank has yet to end

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
                arrived = partial(self._part_done, flow.dst)
                way = self.carrier.way(flow.src, flow.dst)
                way.send(flow.nbytes, self.since_s[flow.dst], sent, arrived)

    def _part_done(self, rank: int) -> None:
        self.parts[rank] -= 1
        if not self.parts[rank]:
            self.since_s[rank] = self.carrier.env.now
            self._enter(rank)


def _by_rank(flows: list[Flow]) -> dict[int, list[Flow]]:
    parts: dict[int, list[Flow]] = {}
    for flow in flows:
        parts.setdefault(flow.src, []).append(flow)
        parts.setdefault(flow.dst, []).append(flow)
    return parts


def then(event: simpy.Event, call: Callback) -> None:
    """Call back when this happens, which must be still to come."""
    callbacks = event.callbacks
    assert callbacks is not None, "an event of the past"
    callbacks.append(lambda _: call())
