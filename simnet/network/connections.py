"""Carries exchanges over connections, one between each two ranks, in the order they are written.

gloo keeps one TCP connection for each pair of ranks of a communicator. What a rank writes to it
leaves in that order, also the small messages that say that a receiver has made room: such a note
queues behind the data that its rank has been sending to the same peer, and the peer, whose data
waits for the note, waits for all that. Behind data for other peers it queues too, but only for what
TCP has already handed to the host's link: `queue_bytes` of each connection.
"""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING, NamedTuple

import simpy

from simnet.network.collectives.posted import (
    PROGRAMS,
    Operation,
    Recv,
    Send,
    Wait,
    all_to_all_of,
)
from simnet.network.filling import Side
from simnet.network.network import Exchange
from traces.units import bits

if TYPE_CHECKING:
    from simnet.network.carriage import Carrier, Way

Callback = Callable[[], None]
_REMEMBERED = 16  # writes of a pipe: a note that was posted before all of these waits for none


def can_carry(exchange: Exchange) -> bool:
    """Whether it is known what ranks post for it."""
    return exchange.kind == "send" or exchange.kind in PROGRAMS


class Write(NamedTuple):
    """Data on a pipe: since when, how much, and the event of its last bit's leaving."""

    pipe: Pipe
    posted_s: float
    nbytes: float
    left: simpy.Event


#: What is on its way to each side of a link, by the event of its leaving.
Queues = dict[Side, dict[simpy.Event, Write]]


class Pipe:
    """One direction of a connection."""

    def __init__(self, env: simpy.Environment, way: Way, queues: Queues) -> None:
        self.env = env
        self.way = way
        self.writes: deque[Write] = deque(maxlen=_REMEMBERED)
        # Of its links those on the sender's side: what is queued there came from the same host.
        self.queues = [(side, queues[side]) for side in way.sides[: len(way.sides) // 2]]

    def write(self, nbytes: float, posted_s: float, left: Callback, arrived: Callback) -> None:
        """Data, behind what was written before."""
        before = self.writes[-1].left if self.writes else None
        write = Write(self, posted_s, nbytes, self.env.event())
        self.writes.append(write)
        for _, queue in self.queues:
            queue[write.left] = write

        def sent() -> None:
            for _, queue in self.queues:
                del queue[write.left]
            write.left.succeed(self.env.now)
            left()

        def start() -> None:
            self.way.transmit(nbytes, sent, arrived)

        def begin() -> None:
            _after(before, start)

        _at(self.env, self.env.now + self.way.path.message_s, begin)

    def note(self, posted_s: float, arrived: Callable[[float], None], *, last: bool) -> None:
        """That there is room since then; tells when the other end knows, as soon as that is sure.

        `last` says whether it comes after what was written in the same instant. `arrived` gets the
        time, which may be past or still to come.
        """
        earlier = [write for write in self.writes if _is_earlier(write, posted_s, last=last)]
        ready_s = self.way.path.ready_s
        if not earlier:
            arrived(posted_s + ready_s + self._queued_s(posted_s, last=last))
            return
        ahead = earlier[-1].left
        _after(ahead, lambda: arrived(max(posted_s, ahead.value or 0.0) + ready_s))

    def _queued_s(self, posted_s: float, *, last: bool) -> float:
        """How long the host's links need for what is on its way to them from other connections."""
        most = self.way.path.queue_bytes
        longest_s = 0.0
        for side, queue in self.queues:
            ahead: dict[Pipe, float] = defaultdict(float)
            for write in queue.values():
                if _is_earlier(write, posted_s, last=last):
                    ahead[write.pipe] += write.nbytes
            nbits = bits(sum(min(most, nbytes) for nbytes in ahead.values()))
            if nbits and side.bucket is not None:
                nbits = max(0.0, nbits - side.bucket.tokens_bits)
            if nbits:
                longest_s = max(longest_s, nbits / side.lasting_bps)
        return longest_s


def _is_earlier(write: Write, posted_s: float, *, last: bool) -> bool:
    return write.posted_s <= posted_s if last else write.posted_s < posted_s


class Connections:
    """The pipes of all communicators of a network in use."""

    def __init__(self, carrier: Carrier) -> None:
        self.carrier = carrier
        self.env = carrier.env
        self.pipes: dict[tuple[str, int, int], Pipe] = {}
        self.queues: Queues = defaultdict(dict)

    def carry(self, exchange: Exchange) -> list[simpy.Event]:
        """As Traffic.carry; a kind that `can_carry` knows."""
        return Posting(self, exchange).begin()

    def pipe(self, group: str, src: int, dst: int) -> Pipe:
        """From one rank to another in a communicator."""
        key = group, src, dst
        if key not in self.pipes:
            way = self.carrier.way(src, dst)
            self.pipes[key] = Pipe(self.env, way, self.queues)
        return self.pipes[key]


class Transfer:
    """A send and its receive, which may be posted in any order."""

    def __init__(self, env: simpy.Environment) -> None:
        self.room_s: float | None = None  # when the sender knows of it
        self.waiting: Callable[[], None] | None = None  # the send, while there is no room
        self.left, self.arrived = env.event(), env.event()

    def has_left(self) -> None:
        """The sender is through."""
        self.left.succeed()

    def has_arrived(self) -> None:
        """The receiver is through."""
        self.arrived.succeed()


class Posting:
    """One exchange under way: every rank goes through its program."""

    def __init__(self, connections: Connections, exchange: Exchange) -> None:
        self.connections = connections
        self.env = connections.env
        self.exchange = exchange
        self.transfers: dict[tuple[int, int, int], Transfer] = {}
        self.done = [self.env.event() for _ in exchange.ranks]

    def begin(self) -> list[simpy.Event]:
        """Let all ranks post what they can, the first to be ready first."""
        since_s = self.exchange.since_s
        for place in sorted(range(len(since_s)), key=since_s.__getitem__):
            Part(self, place, since_s[place]).go_on()
        return self.done

    def transfer(self, src: int, dst: int, number: int) -> Transfer:
        """The one with this number between these places."""
        key = src, dst, number
        if key not in self.transfers:
            self.transfers[key] = Transfer(self.env)
        return self.transfers[key]

    def pipe(self, src: int, dst: int) -> Pipe:
        """Between the ranks at these places."""
        ranks = self.exchange.ranks
        return self.connections.pipe(self.exchange.line.group, ranks[src], ranks[dst])

    def program(self, place: int) -> Iterator[Operation]:
        """What the rank at this place posts."""
        kind, ranks, nbytes = self.exchange[:3]
        if kind == "send":
            return iter((Send(1, nbytes), Wait()) if place == 0 else (Recv(0), Wait()))
        if self.exchange.sizes is not None:
            return all_to_all_of(place, self.exchange.sizes)
        return PROGRAMS[kind](place, len(ranks), nbytes)


class Part:
    """One rank's part in an exchange."""

    def __init__(self, posting: Posting, place: int, since_s: float) -> None:
        self.posting = posting
        self.place = place
        self.time_s = since_s  # of what it posts: in the past until it has waited
        self.program = posting.program(place)
        self.sent_to: dict[int, int] = {}
        self.received_from: dict[int, int] = {}
        self.sends: deque[simpy.Event] = deque()
        self.receives: deque[simpy.Event] = deque()

    def go_on(self) -> None:
        """Until something has to be waited for."""
        for operation in self.program:
            if isinstance(operation, Send):
                self._send(operation)
            elif isinstance(operation, Recv):
                self._receive(operation.peer)
            else:
                oldest = [queue.popleft() for queue in (self.sends, self.receives) if queue]
                if left := [event for event in oldest if not event.processed]:
                    _after_all(left, self._resume)
                    return
        self.posting.done[self.place].succeed()

    def _resume(self) -> None:
        self.time_s = self.posting.env.now
        self.go_on()

    def _send(self, send: Send) -> None:
        number = _count(self.sent_to, send.peer)
        transfer = self.posting.transfer(self.place, send.peer, number)
        pipe = self.posting.pipe(self.place, send.peer)
        self.sends.append(transfer.left)

        def write(posted_s: float) -> None:
            pipe.write(send.nbytes, posted_s, transfer.has_left, transfer.has_arrived)

        room_s = transfer.room_s
        if room_s is None:
            transfer.waiting = lambda: write(self.posting.env.now)
        elif room_s < self.time_s:
            write(self.time_s)
        else:  # what this rank posts in this instant is on its way before the note is there
            env = self.posting.env
            _after(env.timeout(max(0.0, room_s - env.now)), lambda: write(room_s))

    def _receive(self, peer: int) -> None:
        number = _count(self.received_from, peer)
        transfer = self.posting.transfer(peer, self.place, number)
        self.receives.append(transfer.arrived)

        def known(room_s: float) -> None:
            transfer.room_s = room_s
            if transfer.waiting is not None:
                _at(self.posting.env, room_s, transfer.waiting)

        # Of messages, receivers make room first; in a program the order is the program's.
        last = self.posting.exchange.kind != "send"
        self.posting.pipe(self.place, peer).note(self.time_s, known, last=last)


def _count(counts: dict[int, int], peer: int) -> int:
    """How many there were before, and one more from now on."""
    number = counts.get(peer, 0)
    counts[peer] = number + 1
    return number


def _at(env: simpy.Environment, time_s: float, call: Callback) -> None:
    if time_s > env.now:
        _after(env.timeout(time_s - env.now), call)
    else:
        call()


def _after(event: simpy.Event | None, call: Callback) -> None:
    """When this has happened, or at once if it has."""
    if event is None or event.callbacks is None:
        call()
    else:
        event.callbacks.append(lambda _: call())


def _after_all(events: Iterable[simpy.Event], call: Callback) -> None:
    left = list(events)
    waiting = len(left)

    def one_less() -> None:
        nonlocal waiting
        waiting -= 1
        if not waiting:
            call()

    for event in left:
        _after(event, one_less)
