"""Work done behind a program's back, in order, with a limit on the memory that waits for it."""

from __future__ import annotations

import threading
import warnings
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from time import perf_counter

from traces.units import format_bytes, format_s


class Spool:
    """One thread that does what it is given, one job after the other.

    A job that fails is the last one: it is warned of once, `error` says why, and what waits and is
    given afterwards is dropped. Nothing is raised in the program that gives the jobs.

    Attributes:
        what: whose work it is, for the warning.
        most_bytes: that may wait; `put` waits for room, except that any one job may wait alone.
        error: why it stopped; None while all is well.
        waits: how often `put` had to wait.
        waited_s: how long, in all.
        peak_bytes: the most that ever waited, or was being written.
    """

    def __init__(self, what: str, most_bytes: int) -> None:
        self.what = what
        self.most_bytes = most_bytes
        self.error: Exception | None = None
        self.waits = 0
        self.waited_s = 0.0
        self.peak_bytes = 0
        self._held_bytes = 0
        self._jobs: deque[tuple[int, Callable[[], object]]] = deque()
        self._closing = False
        self._changed = threading.Condition()
        self._thread = threading.Thread(target=self._work, name="thinwire-spool", daemon=True)
        self._thread.start()

    @property
    def report(self) -> str:
        """What the program lost by it, in words."""
        waited = f"waited {format_s(self.waited_s)} for it" if self.waits else "never waited for it"
        return f"at most {format_bytes(self.peak_bytes)} were held for the disk; the run {waited}"

    def put(self, nbytes: int, job: Callable[[], object]) -> None:
        """Do this some time; it holds so many bytes until then."""
        with self._changed:
            if self._full(nbytes):
                began_s = perf_counter()
                self._changed.wait_for(lambda: not self._full(nbytes))
                self.waits += 1
                self.waited_s += perf_counter() - began_s
            if self.error is None:
                self._held_bytes += nbytes
                self.peak_bytes = max(self.peak_bytes, self._held_bytes)
                self._jobs.append((nbytes, job))
                self._changed.notify_all()

    def close(self) -> None:
        """Return when all that was given is done, or the first failure."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        self._thread.join()

    @contextmanager
    def guarding(self) -> Iterator[None]:
        """What fails in here stops the program from giving more jobs, and nothing else."""
        try:
            yield
        except Exception as error:  # noqa: BLE001 whatever it is, the program goes on
            self._stop(error)

    def _full(self, nbytes: int) -> bool:
        over = self._held_bytes + nbytes > self.most_bytes
        return self.error is None and self._held_bytes > 0 and over

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._jobs or self._closing)
                if not self._jobs:
                    return
                nbytes, job = self._jobs.popleft()
            try:
                job()
            except Exception as error:  # noqa: BLE001 as above
                self._drop()
                self._stop(error)
            del job  # and what it holds
            with self._changed:
                self._held_bytes -= nbytes
                self._changed.notify_all()

    def _drop(self) -> None:
        with self._changed:
            self._held_bytes -= sum(nbytes for nbytes, _ in self._jobs)
            self._jobs.clear()

    def _stop(self, error: Exception) -> None:
        with self._changed:
            if self.error is not None:
                return
            self.error = error
            self._changed.notify_all()
        with suppress(Warning):  # where warnings are errors, the program's must not be this one
            warnings.warn(
                f"{self.what}: no more activations are kept; the run goes on: {error}",
                stacklevel=2,
            )


class Keys:
    """Names of a step's tensors on disk, "name/layer": a second of a name and layer is "name.2"."""

    def __init__(self) -> None:
        self._times: dict[tuple[str, int], int] = {}

    def next(self, name: str, layer: int) -> str:
        """Of one more tensor of the step."""
        times = self._times[name, layer] = self._times.get((name, layer), 0) + 1
        return f"{name}/{layer}" if times == 1 else f"{name}.{times}/{layer}"

    def step_done(self) -> None:
        """What comes next is of another step."""
        self._times.clear()
