"""When things happen in a live run: on the host's clock, or on a GPU's streams by CUDA events."""

from __future__ import annotations

import threading
from queue import SimpleQueue
from time import perf_counter
from typing import Protocol

import torch
import torch.distributed as dist

from simnet.drivers.communicator import Ticket
from simnet.drivers.log import describe, where
from simnet.network.network import Line
from traces.errors import RunError
from traces.operation import Operation


class Clock(Protocol):
    """Stamps the rows of one rank; seconds since all ranks began."""

    def begin(self, offset_s: float) -> None:
        """Now is `offset_s` on the run's time axis."""

    def stamp(self, row: Operation, field: str) -> None:
        """This is when the compute stream gets to this point."""

    def watch(self, ticket: Ticket) -> None:
        """Stamp the end of a transfer when it comes."""

    def wait(self, ticket: Ticket) -> None:
        """Block the compute stream until the transfer is complete; raises what went wrong."""

    def settle(self) -> None:
        """Make sure that all stamps on the compute stream are in their rows."""

    def drain(self) -> None:
        """Make sure that all transfers have ended and are stamped."""


class HostClock:
    """For CPU tensors: what the host does is what the compute stream does.

    gloo's point-to-point transfers tell nobody when they are complete, they have to be waited
    for: a thread for each line does that.
    """

    def __init__(self) -> None:
        self.zero_s = 0.0
        self.queues: dict[Line, SimpleQueue[tuple[Ticket, dist.Work] | None]] = {}
        self.watchers: list[threading.Thread] = []
        self.lost: Ticket | None = None  # the last transfer that failed

    def begin(self, offset_s: float) -> None:
        """See Clock."""
        self.zero_s = perf_counter() - offset_s

    def stamp(self, row: Operation, field: str) -> None:
        """See Clock."""
        setattr(row, field, perf_counter() - self.zero_s)

    def watch(self, ticket: Ticket) -> None:
        """See Clock."""
        ticket.pending = len(ticket.works)
        if not ticket.works:
            self._ended(ticket)
        for line, work in ticket.works:
            if line not in self.queues:
                self._start(line)
            self.queues[line].put((ticket, work))

    def wait(self, ticket: Ticket) -> None:
        """See Clock."""
        ticket.done.wait()
        if ticket.error is not None:
            raise ticket.error

    def settle(self) -> None:
        """See Clock."""

    def drain(self) -> None:
        """See Clock."""
        for queue in self.queues.values():
            queue.put(None)
        for watcher in self.watchers:
            watcher.join()
        if self.lost is not None:
            raise RunError(
                f"rank {self.lost.row.rank}, {where(self.lost.row.step, self.lost.row.layer)}: "
                f"{describe(self.lost.op)}, which nobody waited for, failed: {self.lost.error}"
            )

    def _start(self, line: Line) -> None:
        queue = self.queues[line] = SimpleQueue()
        watcher = threading.Thread(target=self._watch_line, args=(queue,), daemon=True)
        self.watchers.append(watcher)
        watcher.start()

    def _watch_line(self, queue: SimpleQueue[tuple[Ticket, dist.Work] | None]) -> None:
        while (item := queue.get()) is not None:
            ticket, work = item
            try:
                work.wait()
            except Exception as error:  # handed to whoever waits for this ticket  # noqa: BLE001
                ticket.error = error
                self.lost = ticket
                ticket.done.set()
                continue
            with ticket.lock:
                ticket.pending -= 1
                if ticket.pending == 0:
                    self._ended(ticket)

    def _ended(self, ticket: Ticket) -> None:
        self.stamp(ticket.row, "end_s")
        ticket.done.set()


#: Where a shift of a rank to itself stands.
_ITSELF = Line("itself", ())


class CudaClock:
    """For a GPU: events on its streams, read when a step is over."""

    def __init__(self) -> None:
        self.zero = torch.cuda.Event(enable_timing=True)
        self.offset_s = 0.0
        self.stamps: list[tuple[Operation, str, torch.cuda.Event]] = []
        # The allocator must not hand out buffers that the network still reads.
        self.under_way: list[tuple[Ticket, torch.cuda.Event]] = []
        self.side_streams: dict[Line, torch.cuda.Stream] = {}

    def begin(self, offset_s: float) -> None:
        """See Clock."""
        torch.cuda.synchronize()
        self.zero.record()
        self.offset_s = offset_s

    def stamp(self, row: Operation, field: str) -> None:
        """See Clock."""
        self._event(row, field)

    def watch(self, ticket: Ticket) -> None:
        """A stream of its own waits for the transfer, so that compute does not have to."""
        line = ticket.works[0][0] if ticket.works else _ITSELF
        if line not in self.side_streams:
            self.side_streams[line] = torch.cuda.Stream()
        side = self.side_streams[line]
        side.wait_stream(torch.cuda.current_stream())  # it begins when the compute stream asks
        self.under_way = [(t, ended) for t, ended in self.under_way if not ended.query()]
        with torch.cuda.stream(side):
            for _, work in ticket.works:
                work.wait()
            self.under_way.append((ticket, self._event(ticket.row, "end_s")))

    def wait(self, ticket: Ticket) -> None:
        """See Clock. The host goes on; the compute stream waits."""
        for _, work in ticket.works:
            work.wait()

    def settle(self) -> None:
        """See Clock."""
        torch.cuda.current_stream().synchronize()
        self.stamps = [stamp for stamp in self.stamps if not self._read(*stamp)]
        # Times between events are float32 milliseconds: the zero moves along to keep them small.
        now = torch.cuda.Event(enable_timing=True)
        now.record()
        now.synchronize()
        self.offset_s += self.zero.elapsed_time(now) / 1000
        self.zero = now

    def drain(self) -> None:
        """See Clock."""
        torch.cuda.synchronize()
        self.settle()

    def _event(self, row: Operation, field: str) -> torch.cuda.Event:
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        self.stamps.append((row, field, event))
        return event

    def _read(self, row: Operation, field: str, event: torch.cuda.Event) -> bool:
        if not event.query():
            return False
        setattr(row, field, self.offset_s + self.zero.elapsed_time(event) / 1000)
        return True


def clock_for(device: str) -> Clock:
    """The clock that compute on this device runs by."""
    return CudaClock() if device.startswith("cuda") else HostClock()
