"""Paced computes: the work is done, and the time is the cost model's."""

from __future__ import annotations

from time import perf_counter

import pytest
import torch

from simnet.costs import MeasuredCosts
from simnet.lab.oversleep import overslept_s
from simnet.lab.pace import Paced, wait_until
from simnet.ops import Compute
from simnet.profiles import Cost
from traces.errors import InputError
from traces.operation import Operation, table
from traces.run import Run
from traces.trace import Trace


def doubled(x: torch.Tensor) -> torch.Tensor:
    """Something to compute."""
    return 2 * x


def costs(seconds: float) -> MeasuredCosts:
    """Of `doubled`, for two numbers."""
    return MeasuredCosts("made up", [Cost("doubled", "2:float32", seconds, 0.0, seconds, 1)])


def test_the_value_is_computed_and_the_time_is_never_too_short() -> None:
    """The rank goes on when the time is over, not before."""
    paced = Paced(costs(0.02), "float32")
    began_s = perf_counter()
    value = paced(Compute(doubled, torch.ones(2)), "2:float32")

    assert perf_counter() - began_s >= 0.02
    assert value.tolist() == [2.0, 2.0]
    assert paced.overrun_s == 0.0
    assert paced.late_s >= 0.0


def test_work_that_overruns_its_time_is_told() -> None:
    """By how much, and that it ended as late."""
    paced = Paced(costs(0.0), "float32")
    paced(Compute(doubled, torch.ones(2)), "2:float32")

    assert 0 < paced.overrun_s <= paced.late_s


def test_a_compute_without_a_time_is_refused() -> None:
    """Its name and shape are told."""
    paced = Paced(costs(0.0), "float32")
    with pytest.raises(InputError, match="lack doubled"):
        paced(Compute(doubled, torch.ones(3)), "3:float32")


def test_waiting_for_what_is_over_returns() -> None:
    """At once, or there would be no end."""
    wait_until(perf_counter() - 1.0)


def test_how_late_a_sleeper_is_can_be_told_from_its_trace() -> None:
    """What each compute took, without what it was to take."""
    rows = [
        Operation(
            *(0, seq, "compute", "compute", "doubled"),
            step=0, layer=0, start_s=float(seq), end_s=seq + cost_s, cost_s=cost_s,
            shape="2:float32",
        )
        for seq, cost_s in enumerate((0.501, 0.502))
    ]  # fmt: skip
    run = Run("dit-nano", "ring", 1, 1, driver="distributed", device="cpu", network="gloo")

    assert overslept_s(Trace(run, table(rows)), costs(0.5)) == pytest.approx([0.001, 0.002])
