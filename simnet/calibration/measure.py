"""Carries out measurements on the ranks of a live process group; all ranks call it together."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from time import perf_counter
from typing import Any, NamedTuple

import torch
import torch.distributed as dist

from simnet.calibration.case import Case
from simnet.calibration.plan import Effort, cases, visits
from simnet.calibration.programs import PROGRAMS, Buffers, Program
from simnet.drivers.offsets import common_time

_FIRST_PROBE_BYTES = 2**16
_LAST_PROBE_BYTES = 2**24
_PROBE_SPACING = 4
_LONG_S = 0.1  # what takes longer needs no second round to get going


class Progress(NamedTuple):
    """How many visits to cases are done, of how many, and the rows of the last (on rank 0)."""

    done: int
    visits: int
    rows: list[dict[str, Any]]


def measure(effort: Effort, device: str) -> Iterator[Progress]:
    """Measure everything, case by case. torch.distributed is initialised, with 2 ranks or more."""
    bench = Bench(device)
    planned = cases(effort, bench.world, bench.bytes_per_s(effort.longest_s))
    todo = visits(effort, planned)
    refused: set[str] = set()
    taken: Counter[Case] = Counter()
    for done, (case, repetitions) in enumerate(todo, start=1):
        rows: list[dict[str, Any]] = []
        if case.kind not in refused:
            try:
                rows = case.rows(bench.times_s(case, repetitions), taken[case])
                taken[case] += repetitions
            except NotImplementedError:
                refused.add(case.kind)
        yield Progress(done, len(todo), rows if bench.rank == 0 else [])


class Bench:
    """One rank's part in all measurements."""

    def __init__(self, device: str) -> None:
        self.rank, self.world = dist.get_rank(), dist.get_world_size()
        self.buffers = Buffers(device)
        self.can_be_late = not device.startswith("cuda")  # NCCL keeps messages in order
        common_s = common_time()  # which takes its time
        self.behind_s = perf_counter() - common_s
        self.token = torch.zeros(1)

    def times_s(self, case: Case, repetitions: int) -> list[float]:
        """From when the last of the timed ranks began to when the last one ended.

        Raises NotImplementedError, on all ranks, for a kind that the backend has not got.
        """
        if case.kind == "late" and not self.can_be_late:
            raise NotImplementedError(case.kind)
        warm_up = 1 if case.estimate_s > _LONG_S else 3
        spans = [
            self.once(PROGRAMS[case.kind](case, self.buffers)) for _ in range(warm_up + repetitions)
        ]
        mine = torch.tensor(spans[warm_up:], dtype=torch.float64)
        everyone = [torch.empty_like(mine) for _ in range(self.world)]
        dist.all_gather(everyone, mine)
        timed = torch.stack([everyone[rank] for rank in self._timed(case)])
        return (timed[..., 1].amax(0) - timed[..., 0].amax(0)).tolist()

    def bytes_per_s(self, longest_s: float) -> float:
        """About what a link carries: messages grow until one takes an eighth of `longest_s`."""
        nbytes = _FIRST_PROBE_BYTES
        while True:
            case = Case("ping", (0, 1), nbytes, 1, math.inf)
            seconds = [min(self.times_s(case, 1))]
            dist.broadcast_object_list(seconds, src=0)
            if seconds[0] > longest_s / 8 or nbytes >= _LAST_PROBE_BYTES:
                return nbytes / seconds[0]
            nbytes *= _PROBE_SPACING

    def once(self, program: Program) -> tuple[float, float]:
        """When this rank's part began and ended, on the common clock."""
        next(program, None)
        self._meet()
        start_s = perf_counter()
        for _ in program:
            start_s = perf_counter()
        return start_s - self.behind_s, perf_counter() - self.behind_s

    def _meet(self) -> None:
        """Until all ranks are here. Over the hosts' network also where GPUs are measured."""
        dist.all_reduce(self.token)

    def _timed(self, case: Case) -> tuple[int, ...]:
        return case.ranks[:1] if case.kind in ("ping", "stream", "late") else case.ranks
