"""Tiny worlds: programs of a line or two, played on a network that can be worked out by hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest

from simnet.drivers.engine import Work, play
from simnet.drivers.observer import Observer
from simnet.drivers.replay import Blob
from simnet.network.network import Network
from simnet.network.topology import Links
from simnet.ops import Compute, Program
from traces.operation import Operation
from traces.trace import Trace

#: A byte takes a second, and then half a second to arrive.
SLOW = Links("slow", rate_bps=8.0, latency_s=0.5)

Play = Callable[..., list[Operation]]


def nothing(*args: float) -> None:
    """What toy programs compute; the argument says how many seconds it takes."""


def _toy_machine(op: Compute) -> Work:
    return Work(op.fn(*op.args), op.fn.__name__, "", op.args[0])


@pytest.fixture
def toy() -> Play:
    """Play toy programs; gives the operations."""

    def play_toy(
        programs: Sequence[Program], network: Network = SLOW, steps: int = 0
    ) -> list[Operation]:
        return play(programs, steps, _toy_machine, network, Observer())[0]

    return play_toy


@pytest.fixture
def busy() -> Callable[[float], Compute]:
    """A Compute of so many seconds."""
    return lambda cost_s: Compute(nothing, cost_s)


@pytest.fixture
def blob() -> Callable[[int], Blob]:
    """Something of so many bytes."""
    return lambda nbytes: Blob(nbytes, (nbytes,), "uint8")


@pytest.fixture(scope="session")
def stripped() -> Callable[[Trace], Trace]:
    """Of a trace, what somebody sees who records the program from outside."""

    def strip(trace: Trace, *, shapes: bool = False) -> Trace:
        ops = trace.ops.copy()
        ops["name"] = [f"aten::{number % 7}" for number in range(len(ops))]
        if not shapes:
            ops.loc[ops["stream"] != "compute", "shape"] = ""
        run = replace(trace.run, driver="captured", schedule="captured")
        return Trace(run, ops)

    return strip
