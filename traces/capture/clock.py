"""When things happen in a program: on the host's clock, or on a GPU's stream by CUDA events."""

from __future__ import annotations

from collections.abc import Callable
from time import perf_counter
from typing import Any, Protocol

import torch

#: A moment that can be read later; what it is, its clock knows.
Mark = Any


class Clock(Protocol):
    """Marks moments, and reads them as seconds since the run began."""

    #: Whether what the host has done is what has happened.
    host: bool

    def begin(self, zero_s: float) -> None:
        """The run begins when the host's clock shows `zero_s`."""

    def mark(self) -> Mark:
        """Now."""

    def after(self, mark: Mark) -> Mark:
        """Now, when nothing but a launch has been done since `mark`."""

    def read(self, mark: Mark) -> float | None:
        """Seconds; None for what is yet to happen."""

    def step_done(self) -> None:
        """All marks so far that were read will not be read again."""

    def drain(self) -> None:
        """Wait until all that was marked has happened."""


class HostClock:
    """For tensors on the CPU: what the host does is what happens. A mark is a time."""

    host = True

    def __init__(self, now: Callable[[], float] = perf_counter) -> None:
        self.mark = now
        self.zero_s = 0.0

    def begin(self, zero_s: float) -> None:
        """See Clock."""
        self.zero_s = zero_s

    def after(self, mark: Mark) -> Mark:
        """See Clock."""
        del mark
        return self.mark()

    def read(self, mark: Mark) -> float | None:
        """See Clock."""
        seconds: float = mark - self.zero_s
        return seconds

    def step_done(self) -> None:
        """See Clock."""

    def drain(self) -> None:
        """See Clock."""


class CudaClock:
    """For a GPU: events on the current stream, read when they have long happened.

    Nothing here makes the host wait for the GPU but `begin` and `drain`.
    """

    host = False

    def __init__(self) -> None:
        self.zero = torch.cuda.Event(enable_timing=True)
        self.zero_s = 0.0
        self.latest: tuple[Mark, float] | None = None

    def begin(self, zero_s: float) -> None:
        """See Clock."""
        torch.cuda.synchronize()
        self.zero.record()
        self.zero_s = perf_counter() - zero_s

    def mark(self) -> Mark:
        """See Clock."""
        event = torch.cuda.Event(enable_timing=True)
        event.record()
        return event

    def after(self, mark: Mark) -> Mark:
        """See Clock. On the stream, the launch took no time."""
        return mark

    def read(self, mark: Mark) -> float | None:
        """See Clock."""
        if not mark.query():
            return None
        seconds: float = self.zero_s + self.zero.elapsed_time(mark) / 1000
        self.latest = mark, seconds
        return seconds

    def step_done(self) -> None:
        """See Clock. Times between events are float32 milliseconds: the zero moves along."""
        if self.latest is not None:
            self.zero, self.zero_s = self.latest
            self.latest = None

    def drain(self) -> None:
        """See Clock."""
        torch.cuda.synchronize()


def clock_for(device: torch.device) -> Clock:
    """The clock that work on this device runs by."""
    return CudaClock() if device.type == "cuda" else HostClock()
