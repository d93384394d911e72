"""A trace larger than memory is read in batches of rows and parts of activations."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

WRITE_ROWS = """
import sys
import numpy as np, pandas as pd
from traces.run import Run
from traces.trace import Trace

n = 1_500_000
seq = np.arange(n)
ops = pd.DataFrame({
    "rank": 0, "seq": seq, "stream": "compute", "kind": "compute", "name": "block", "step": 0,
    "layer": seq % 24, "start_s": seq * 1e-3, "end_s": seq * 1e-3 + 1e-3, "cost_s": 1e-3,
    "host_s": 0.0, "bytes": 0, "wire_bytes": 0, "group": "", "dst": -1, "src": -1,
    "waits_for": -1, "shape": "2x64x128:float32", "parts": "",
})
Trace(Run("m", "s", 1, 1, "local", "cpu", "none"), ops).save(sys.argv[1])
print(ops.memory_usage(deep=True).sum())
"""

# Reads a little first, so that what the libraries take for themselves is not counted.
MEASURE = """
import resource, sys
from traces.trace import Trace

def peak_bytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

trace = Trace.open(sys.argv[1])
"""

SCAN = (
    MEASURE
    + """
next(trace.scan(batch_rows=1000))
before = peak_bytes()
rows = sum(len(batch) for batch in trace.scan(batch_rows=16384))
print(rows, peak_bytes() - before)
"""
)

WRITE_ACTIVATIONS = """
import sys
import torch
from traces.operation import Operation
from traces.store import PartWriter, create
from traces.run import Run

create(sys.argv[1], Run("m", "s", 1, 12, "local", "cpu", "none"))
part = PartWriter(sys.argv[1], 0)
for step in range(12):
    row = Operation(0, step, "compute", "compute", "f", step, 0, 0.0, 1.0, cost_s=1.0)
    part.step_done(step, [row], {"x/0": torch.zeros(2 * 2**20, 4)})
part.close()
print(12 * 32 * 2**20)
"""

INDEX = (
    MEASURE
    + """
x = trace.activations("x")
x[0, 0, 0, :10].load()
before = peak_bytes()
steps = sum(float(x[0, step, 0, ::1024].sum()) == 0 for step in range(12))
steps += x[:, :, :, 5:1000, 2].size > 0
print(steps, peak_bytes() - before)
"""
)


def measure(program: str, path: Path) -> list[int]:
    """The numbers that a program prints, run by itself so that its peak is its own."""
    command = [sys.executable, "-c", program, str(path)]
    return [int(word) for word in subprocess.check_output(command).split()]


@pytest.mark.slow
def test_a_scan_takes_the_memory_of_a_batch(tmp_path: Path) -> None:
    """A million and a half rows, some 270 MB as a table."""
    (table_bytes,) = measure(WRITE_ROWS, tmp_path / "t")

    rows, growth_bytes = measure(SCAN, tmp_path / "t")

    assert rows == 1_500_000
    assert growth_bytes < table_bytes / 4


@pytest.mark.slow
def test_indexing_activations_reads_only_what_is_indexed(tmp_path: Path) -> None:
    """A part of every step of 400 MB."""
    (data_bytes,) = measure(WRITE_ACTIVATIONS, tmp_path / "t")

    steps, growth_bytes = measure(INDEX, tmp_path / "t")

    assert steps == 13
    assert growth_bytes < data_bytes / 4
