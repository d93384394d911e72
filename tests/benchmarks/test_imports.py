"""How fast a profile of hundreds of megabytes is read, and in how much memory. By `make bench`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = [pytest.mark.bench, pytest.mark.timeout(900)]

STEPS, CALLS, OPERATORS = 100, 60, 40  # of each step; operators of each call
#: Beyond what the libraries take for themselves, per byte of the file.
ROOM = 0.5
LEAST_MB_PER_S = 10

READ = """
import resource
import sys
from pathlib import Path
from time import process_time

import pandas, pyarrow

from traces.imports.formats import read

before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
began = process_time()
trace = read([Path(sys.argv[1])])
print(process_time() - began, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
print(len(trace.ops))
"""


def event(name: str, cat: str, ts: float, dur: float, **args: Any) -> str:
    """As Kineto writes it."""
    fields = {"ph": "X", "cat": cat, "name": name, "pid": 1, "tid": 1, "ts": ts, "dur": dur}
    return json.dumps(fields | {"args": args}, indent=2)


def operator(ts: float) -> str:
    """With its shapes."""
    inputs = {
        "Concrete Inputs": ["", "", ""],
        "Input type": ["float", "float", "float"],
        "Input Strides": [[64, 1], [64, 1], [1]],
        "Input Dims": [[8, 64], [64, 64], [64]],
    }
    return event("aten::linear", "cpu_op", ts, 8, **inputs, **{"External id": int(ts), "Ev Idx": 1})


def profile(path: Path) -> Path:
    """A rank that computes and gathers in turn."""
    gather = {
        "Concrete Inputs": ["", "", "", "False", "-1"],
        "Input type": ["float", "float", "", "Scalar", "Scalar"],
        "Input Dims": [[16, 64], [8, 64], [], [], []],
    }
    ts = 1.0
    with path.open("w") as file:
        file.write('{"distributedInfo": {"rank": 0, "world_size": 2}, "traceEvents": [\n')
        for step in range(STEPS):
            file.write(event(f"ProfilerStep#{step}", "user_annotation", ts, 5) + ",\n")
            for _ in range(CALLS):
                for _ in range(OPERATORS):
                    file.write(operator(ts) + ",\n")
                    ts += 10
                file.write(event("c10d::_allgather_base_", "cpu_op", ts, 8, **gather) + ",\n")
                ts += 10
        file.write(operator(ts) + "\n]}")
    return path


def test_a_large_profile_is_read_in_little_memory(tmp_path: Path) -> None:
    """A quarter of a million events; processor time, so that other programs count for little."""
    path = profile(tmp_path / "rank0.json")
    done = subprocess.run(
        [sys.executable, "-c", READ, str(path)],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    time_s, room_kib, rows = map(float, done.stdout.split())
    size = path.stat().st_size
    print(f"\n{size / 1e6:.0f} MB: {size / 1e6 / time_s:.0f} MB/s, {room_kib / 1024:.0f} MiB")
    assert rows == STEPS * CALLS * 3 + 1  # compute, gather, wait
    assert size / 1e6 / time_s > LEAST_MB_PER_S
    assert room_kib * 1024 < ROOM * size
