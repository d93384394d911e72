"""A small program of every kind of row, and ways to record it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from traces.operation import Operation, table
from traces.run import Run
from traces.store import PartWriter, create
from traces.trace import Trace

RANKS, STEPS = 2, 3
RUN = Run("tiny", "ring", RANKS, STEPS, "simulated", "toy", "wire", versions={"python": "3"})


def step_of(rank: int, step: int, seq: int) -> Iterator[Operation]:
    """Compute, gather, wait for it, compute; a shift that is waited for in the next step."""
    peer = 1 - rank

    def row(stream: str, kind: str, name: str, length_s: float, **rest: Any) -> Operation:
        nonlocal seq
        start_s = seq * 0.1
        seq += 1
        return Operation(
            rank, seq - 1, stream, kind, name, step, 0, start_s, start_s + length_s, **rest
        )

    if step:
        yield row("compute", "wait", "halo", 0.0, waits_for=seq - 1)
    yield row("compute", "compute", "qkv", 0.1, cost_s=0.1, shape="2x3:float32")
    yield row("world", "all_gather", "kv", 0.15, bytes=8, wire_bytes=8, group="0,1")
    yield row("compute", "wait", "kv", 0.05, waits_for=seq - 1, host_s=0.05)
    yield row(
        "world", "shift", "halo", 0.12, bytes=4, wire_bytes=4, group="0,1", dst=peer, src=peer
    )


def program(rank: int, steps: int = STEPS) -> list[list[Operation]]:
    """A rank's rows by step; the first step's begin with one from before it."""
    setup = Operation(rank, 0, "compute", "compute", "embed", -1, -1, 0.0, 0.05, cost_s=0.05)
    rows = [[setup]]
    for step in range(steps):
        rows.append(list(step_of(rank, step, rows[-1][-1].seq + 1)))
    return [rows[0] + rows[1], *rows[2:]]


@pytest.fixture
def run() -> Run:
    """The header of the program."""
    return RUN


@pytest.fixture
def rows() -> Callable[..., list[list[Operation]]]:
    """Of a rank, the program's rows by step."""
    return program


@pytest.fixture
def whole() -> Trace:
    """The program's trace, in memory."""
    return Trace(RUN, table([op for rank in range(RANKS) for ops in program(rank) for op in ops]))


@pytest.fixture
def record(tmp_path: Path) -> Callable[..., Path]:
    """Writes the program as a run would, and gives the folder.

    `steps`: for each rank how many it completes; `closed`: whether its recording is closed;
    `run`: the header.
    """

    def write(
        steps: tuple[int, ...] = (STEPS, STEPS), *, closed: bool = True, run: Run = RUN
    ) -> Path:
        path = tmp_path / "recorded"
        create(path, run)
        for rank, done in enumerate(steps):
            part = PartWriter(path, rank)
            for step, operations in enumerate(program(rank)[:done]):
                part.step_done(step, operations, {})
            if closed:
                part.close()
        return path

    return write
