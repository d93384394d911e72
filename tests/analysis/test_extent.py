"""How much of a run there is, in a headline's words."""

from __future__ import annotations

import pytest

from analysis.extent import extent
from traces.operation import Operation, table
from traces.run import Run
from traces.trace import Trace


@pytest.mark.parametrize(
    ("steps", "words"),
    [
        ((3, 3), "2 ranks, 3 steps"),
        ((3, 2), "2 ranks, 2 of 3 steps"),
        ((2,), "1 of 2 ranks, 2 of 3 steps"),
    ],
)
def test_what_is_lacking_is_counted(steps: tuple[int, ...], words: str) -> None:
    """Steps are those that every rank has of which there is anything."""
    rows = [
        Operation(rank, step, "compute", "compute", "b", step, 0, float(step), step + 1.0)
        for rank, done in enumerate(steps)
        for step in range(done)
    ]
    run = Run("tiny", "ring", 2, 3, "distributed", device="toy", network="wire")

    assert extent(Trace(run, table(rows))) == words
