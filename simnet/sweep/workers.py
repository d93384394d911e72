"""Who computes: this process, processes of this machine, or a Dask cluster; joblib asks them."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cache
from typing import Any, Generic, Protocol, TypeVar

from traces.errors import InputError, RunError

#: Seconds between two looks of a child whether its parent is still there.
_LOOK_S = 1.0

T = TypeVar("T")
R = TypeVar("R")


class WorkerError(RunError):
    """A process that computed was killed, or ended by itself."""


class Workers(Protocol):
    """Anything that does tasks, in whatever order, and gives each back with what came of it."""

    def map(self, do: Callable[[T], R], tasks: Iterable[T]) -> Iterator[tuple[T, R]]:
        """Raises WorkerError where tasks are lost; those that were given back are done."""
        ...


class Local:
    """So many processes of this machine; a single one is this process itself.

    Raises InputError for fewer than one.
    """

    def __init__(self, jobs: int | None = None) -> None:
        import joblib

        if jobs is not None and jobs < 1:
            raise InputError(f"--jobs is {jobs}, expected 1 or more")
        self.jobs: int = joblib.cpu_count() if jobs is None else jobs

    def map(self, do: Callable[[T], R], tasks: Iterable[T]) -> Iterator[tuple[T, R]]:
        """See Workers."""
        from joblib.externals.loky.process_executor import BrokenProcessPool

        tasks = iter(tasks)
        several = _taken(tasks, 2)  # for one task it is not worth starting a process
        jobs = self.jobs if len(several) > 1 else 1
        try:
            yield from _parallel(_Child(do, os.getpid()), _chained(several, tasks), jobs)
        except BrokenProcessPool as error:
            raise WorkerError("a process that computed points ended before it was done") from error


@dataclass(frozen=True)
class _Child(Generic[T, R]):
    """Does tasks in a process that ends when its parent does, even where that was killed."""

    do: Callable[[T], R]
    parent: int

    def __call__(self, task: T) -> R:
        if os.getpid() != self.parent:
            _end_with(self.parent)
        return self.do(task)


@cache
def _end_with(parent: int) -> None:
    def look() -> None:
        while os.getppid() == parent:
            time.sleep(_LOOK_S)
        os._exit(1)  # in the middle of whatever it computes for nobody

    threading.Thread(target=look, daemon=True).start()


class Cluster:
    """The workers of a Dask cluster, by the address of its scheduler.

    Raises InputError where Dask is not installed, or nobody answers there.
    """

    def __init__(self, address: str) -> None:
        self.address = address
        self._open = ExitStack()
        try:
            from distributed import Client
        except ImportError as error:
            raise InputError(
                "--scheduler needs Dask, which is not installed: pip install 'thinwire[dask]'"
            ) from error
        try:
            client: Any = Client
            self.client = self._open.enter_context(client(address, timeout="10s"))
        except (OSError, ValueError, TimeoutError) as error:
            raise InputError(
                f"--scheduler {address}: no Dask scheduler answers there; start one with "
                "`dask scheduler`, and give the address that it prints, such as tcp://10.0.0.1:8786"
            ) from error

    def map(self, do: Callable[[T], R], tasks: Iterable[T]) -> Iterator[tuple[T, R]]:
        """See Workers. Dask itself gives the tasks of a worker that died to another one."""
        from distributed import KilledWorker
        from joblib import parallel_config

        if not self.client.ncores():
            self.client.wait_for_workers(1, timeout=60)
        with parallel_config(backend="dask", client=self.client):
            try:
                yield from _parallel(do, tasks, -1)
            except KilledWorker as error:
                raise WorkerError(f"Dask: {error}") from error

    def close(self) -> None:
        """Leave the cluster; it goes on without this sweep."""
        self._open.close()


def _parallel(do: Callable[[T], R], tasks: Iterable[T], jobs: int) -> Iterator[tuple[T, R]]:
    from joblib import Parallel, delayed

    parallel = Parallel(n_jobs=jobs, return_as="generator_unordered", batch_size=1)
    done: Iterator[tuple[T, R]] = parallel(delayed(_with)(do, task) for task in tasks)
    yield from done


def _with(do: Callable[[T], R], task: T) -> tuple[T, R]:
    """What came of a task, with the task: results arrive in any order."""
    return task, do(task)


def _taken(tasks: Iterator[T], count: int) -> list[T]:
    return [task for _, task in zip(range(count), tasks, strict=False)]


def _chained(first: Iterable[Any], rest: Iterable[Any]) -> Iterator[Any]:
    yield from first
    yield from rest
