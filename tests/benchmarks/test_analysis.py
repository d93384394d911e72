"""Similarity of all steps, beside what a core can do, and of more than memory holds.

Run by `make bench`. Files are in the system's cache: how fast a disk is, is not the question.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from time import perf_counter

import pytest
import torch

from traces.operation import Operation
from traces.reading import file_name
from traces.run import Run
from traces.store import PartWriter, create

pytestmark = [pytest.mark.bench, pytest.mark.timeout(900)]

STEPS, LAYERS, TOKENS, CHANNELS = 50, 28, 256, 1152
#: Of the time that the machine's limit allows.
LEAST = 0.4
#: Beyond what the libraries take for themselves.
ROOM_BYTES = 640e6


def write(path: Path, steps: int, kept: Callable[[int], Mapping[str, torch.Tensor]]) -> Path:
    """A trace of one rank with what `kept(step)` gives."""
    create(path, Run("dit-xl-2", "single", 1, steps, "local", device="cpu", network="none"))
    part = PartWriter(path, 0)
    for step in range(steps):
        row = Operation(0, step, "compute", "compute", "f", step, 0, step, step + 1, 1.0)
        part.step_done(step, [row], kept(step))
    part.close()
    return path / "rank-0"


def child(code: str, *arguments: object) -> list[float]:
    """What a process with one thread prints."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    environment = os.environ | {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr[-2000:]
    return [float(number) for number in done.stdout.split()]


#: The least processor time of some calls: what else runs on the machine counts for little in it.
CLOCKED = """
import sys
from pathlib import Path
from time import process_time

import numpy as np

from analysis.redundancy import redundancy
from traces.trace import Trace

def least_s(call):
    took_s = []
    for _ in range(5):
        began_s = process_time()
        call()
        took_s.append(process_time() - began_s)
    return min(took_s)

files = sorted(Path(sys.argv[1]).glob("rank-0/*.safetensors"))
buffer = bytearray(1 << 20)

def read():
    for path in files:
        with path.open("rb", buffering=0) as file:
            while file.readinto(buffer):
                pass

x, y = (np.random.default_rng(seed).standard_normal((2048, 2048), np.float32) for seed in (0, 1))
trace = Trace.open(sys.argv[1])
nbytes = sum(path.stat().st_size for path in files)
print(nbytes / least_s(read), 2 * 2048**3 / least_s(lambda: x @ y))
print(least_s(lambda: redundancy(trace, "hidden")))
"""


def test_similarity_of_all_steps_beside_the_limits_of_a_core(tmp_path: Path) -> None:
    """The slower of reading every byte once, and one product of all steps with all steps."""
    generator = torch.Generator().manual_seed(0)
    first = torch.randn(LAYERS, TOKENS, CHANNELS, generator=generator)
    change = torch.randn(LAYERS, TOKENS, CHANNELS, generator=generator)
    write(
        tmp_path / "T",
        STEPS,
        lambda step: {f"hidden/{n}": first[n] + 0.1 * step * change[n] for n in range(LAYERS)},
    )
    read_bytes_per_s, flops_per_s, took_s = child(CLOCKED, tmp_path / "T")
    nbytes = 4 * STEPS * LAYERS * TOKENS * CHANNELS
    read_s, product_s = nbytes / read_bytes_per_s, nbytes / 2 * STEPS / flops_per_s
    share = max(read_s, product_s) / took_s
    print(
        f"\nall pairs of {STEPS} steps x {LAYERS} layers x {TOKENS} x {CHANNELS}: {took_s:.2f} s "
        f"of a core; reading alone {read_s:.2f} s at {read_bytes_per_s / 1e9:.1f} GB/s, products "
        f"alone {product_s:.2f} s at {flops_per_s / 1e9:.0f} GFLOP/s: {share:.0%} of the limit "
        f"(bar: {LEAST:.0%})",
        end="",
    )
    assert share > LEAST


PROBE = """
import numpy as np, resource, sys
from analysis.redundancy import redundancy
from traces.trace import Trace

np.ones((64, 64), np.float32) @ np.ones((64, 64), np.float32)
used = [int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmSize:")]
"""
LIMITED = (
    PROBE
    + """
limit = int(sys.argv[2])
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
found = redundancy(Trace.open(sys.argv[1]), "hidden")
same = found["relative_l2"][:, 0, 2::2]
other = found["relative_l2"][:, 0, 1::2]
print(float(same.max()), float(other.min()), float(other.max()))
"""
)


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_trace_ten_times_the_memory_limit_is_analysed(tmp_path: Path) -> None:
    """By a process whose addresses are limited; two steps' files stand for all the others'."""
    (used_kb,) = child(PROBE + "print(used[0])")
    limit = int(used_kb * 1024 + ROOM_BYTES)
    layers, shape = 14, (4096, 2048)
    x = [torch.randn(shape, generator=torch.Generator().manual_seed(n)) for n in (0, 1)]
    steps = -(-10 * limit // (4 * layers * shape[0] * shape[1]))
    folder = write(
        tmp_path / "T",
        steps,
        lambda step: {f"hidden/{n}": x[step] for n in range(layers)} if step < 2 else {},
    )
    for step in range(2, steps):
        (folder / file_name(step)).hardlink_to(folder / file_name(step % 2))
    nbytes = sum(path.stat().st_size for path in folder.glob("*.safetensors"))
    began_s = perf_counter()
    same, least, most = child(LIMITED, tmp_path / "T", limit)
    took_s = perf_counter() - began_s
    print(
        f"\n{nbytes / 1e9:.1f} GB analysed in {took_s:.1f} s within {limit / 1e9:.2f} GB of "
        f"addresses: {nbytes / limit:.1f} times as much (bar: 10)",
        end="",
    )
    assert nbytes >= 10 * limit
    assert same == 0
    expected = float((x[0] - x[1]).norm() / x[0].norm())
    assert least == pytest.approx(expected, rel=1e-4)
    assert most == pytest.approx(expected, rel=1e-4)
