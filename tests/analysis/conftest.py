"""Traces on disk whose activations are known."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import count
from pathlib import Path
from typing import Protocol

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from traces.operation import Operation
from traces.run import Run
from traces.store import PartWriter, create
from traces.trace import Trace

Array = NDArray[np.float32]


class Keep(Protocol):
    """What a rank keeps in a step, keyed "name/layer"."""

    def __call__(self, rank: int, step: int) -> Mapping[str, Array]:
        """Nothing where the step was lost."""
        ...


class Record(Protocol):
    """Writes a trace and opens it."""

    def __call__(self, keep: Keep, *, ranks: int = 1, steps: int = 6, model: str = "toy") -> Trace:
        """Of so many ranks and steps."""
        ...


@pytest.fixture
def record(tmp_path: Path) -> Record:
    """A trace with these activations and one operation a step."""
    numbers = count()

    def write(keep: Keep, *, ranks: int = 1, steps: int = 6, model: str = "toy") -> Trace:
        path = tmp_path / f"trace-{next(numbers)}"
        create(path, Run(model, "toy", ranks, steps, "local", device="toy", network="none"))
        for rank in range(ranks):
            part = PartWriter(path, rank)
            for step in range(steps):
                row = Operation(rank, step, "compute", "compute", "f", step, 0, step, step + 1, 1.0)
                kept = {key: torch.from_numpy(x) for key, x in keep(rank, step).items()}
                part.step_done(step, [row], kept)
            part.close()
        return Trace.open(path)

    return write
