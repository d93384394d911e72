"""How much of a run a trace has."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from traces.trace import Trace


def steps_of_all(trace: Trace) -> int:
    """How many steps every rank has of which there is anything at all."""
    reached = trace.ops.groupby("rank")["step"].max()
    return int(reached.min()) + 1


def extent(trace: Trace) -> str:
    """For headlines: "4 ranks, 8 steps", or "3 of 4 ranks, 5 of 8 steps"."""
    run = trace.run
    ranks = _of(trace.ops["rank"].nunique(), run.ranks)
    return f"{ranks} ranks, {_of(steps_of_all(trace), run.steps)} steps"


def _of(some: int, every: int) -> str:
    return f"{every}" if some == every else f"{some} of {every}"
