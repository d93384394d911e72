"""Computes what a sweep lacks: in chunks, on workers that may die, each kept when it is done."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from simnet.sweep.case import Case
from simnet.sweep.design import Design
from simnet.sweep.points import Done, Task, compute
from simnet.sweep.store import REFUSED, Store, distinct
from simnet.sweep.workers import WorkerError, Workers
from traces.errors import RunError

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Points of a task. Where they are vectorised so many that, in another process, lowering the case
#: once more is cheap beside them; otherwise so few that little is lost with a worker.
VECTOR_CHUNK, EVENT_CHUNK = 2**14, 8
#: Workers that may die one after the other, nothing being done in between, before it is given up.
_DEATHS = 3


class Work(NamedTuple):
    """A case, and the distinct settings that it is wanted for."""

    key: str
    case: Case
    settings: NDArray[Any]  # (M,) of SETTING


@dataclass
class Counts:
    """Of a sweep's points: computed by this run, known before, and equal to others of them."""

    computed: int = 0
    reused: int = 0
    equal: int = 0


class Runner:
    """A sweep on its way. `progress` is told how many points more are done."""

    def __init__(
        self, design: Design, store: Store, workers: Workers, progress: Callable[[int], None]
    ) -> None:
        self.design = design
        self.store = store
        self.workers = workers
        self.progress = progress
        self.works = _works(design)
        self.counts = Counts()

    @property
    def distinct(self) -> int:
        """How many points differ from each other."""
        return sum(len(work.settings) for work in self.works)

    def run(self) -> Counts:
        """Until every point is in the store.

        Raises RunError where workers die again and again, and what the store raises.
        """
        lacking = sum(len(settings) for _, settings in self._lacking(discrete=True))
        self.counts = Counts(reused=self.distinct - lacking)
        self.counts.equal = len(self.design) - self.distinct
        self.progress(self.counts.reused)
        for discrete in (False, True):
            self._phase(discrete=discrete)
        return self.counts

    def _phase(self, *, discrete: bool) -> None:
        deaths = 0
        while True:
            try:
                for done in self.workers.map(compute, self._tasks(discrete=discrete)):
                    self._keep(*done)
                    deaths = 0
            except WorkerError as error:
                deaths += 1
                if deaths == _DEATHS:
                    raise RunError(
                        f"{error}; what was computed is kept, so run the sweep again, with fewer "
                        "--jobs if memory is short"
                    ) from error
            else:
                return

    def _keep(self, task: Task, done: Done) -> None:
        self.store.add(task.key, done.facts, done.points)
        count = len(task.settings)
        if done.facts.reason is None:
            count = int((done.points.rows["evaluator"] != REFUSED).sum())
        self.counts.computed += count
        self.progress(count)

    def _tasks(self, *, discrete: bool) -> Iterator[Task]:
        size = EVENT_CHUNK if discrete else VECTOR_CHUNK
        networks = self.design.by_digest
        for work, settings in self._lacking(discrete=discrete):
            for first in range(0, len(settings), size):
                part = settings[first : first + size]
                yield Task(work.key, work.case, part, networks, discrete)

    def _lacking(self, *, discrete: bool) -> Iterator[tuple[Work, NDArray[Any]]]:
        """What is not in the store; if `discrete`, also what the vectorised evaluator refused."""
        for work in self.works:
            facts = self.store.facts(work.key)
            if facts is not None and facts.reason is not None:
                continue
            there, rows = self.store.found(work.key)(work.settings)
            if discrete:
                there &= rows["evaluator"] != REFUSED
            if facts is None:
                there[:] = False
            if not there.all():
                yield work, work.settings[~there]


def _works(design: Design) -> list[Work]:
    """Cases by content: two groups may be of one, such as for a warm-up that it does not have."""
    cases: dict[str, Case] = {}
    settings: dict[str, list[NDArray[Any]]] = {}
    for group in design.groups():
        key = group.case.key
        cases[key] = group.case
        wanted = settings.setdefault(key, [])
        if all(group.settings is not other for other in wanted):
            wanted.append(group.settings)
    return [Work(key, case, distinct(np.concatenate(settings[key]))) for key, case in cases.items()]
