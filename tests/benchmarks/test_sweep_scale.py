"""What a point of a sweep costs, from a thousand to a million of them. Run by `make bench`.

Each prints its number beside the bar it must clear.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter

import pytest

pytestmark = [pytest.mark.bench, pytest.mark.timeout(1200)]

AXES = """
[axes]
models = "dit-xl-2-256"
schedules = ["patch", "distrifusion"]
ranks = 4
gpus = "l20"
"""
#: Of the points, so that no sweep finds anything of the one before it.
RATES = 'bandwidths = {{ from = "100Mbit/s", to = "100Gbit/s", points = {points} }}\n'

MEASURED = """
import json, resource, sys, time
from pathlib import Path
from simnet.commands.sweep import Request, run

folder = Path(sys.argv[1])
run(folder / "first.toml", Request(jobs=1, cache=folder / "a", out=folder / "a"))
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
began_s = time.process_time()
run(folder / "many.toml", Request(jobs=1, cache=folder / "b", out=folder / "b"))
took_s = time.process_time() - began_s
after = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(json.dumps({"took_s": took_s, "grew_bytes": 1024 * (after - before)}))
"""


def report(what: str, value: str, bar: str) -> None:
    """On a line of its own, past pytest's dots."""
    print(f"\n{what}: {value} (bar: {bar})", end="")


def measured(folder: Path, points: int) -> dict[str, float]:
    """Seconds of the processor that a sweep takes once its cases are lowered, files and all."""
    folder.mkdir()
    for name, count in (("first", 4), ("many", points // 2)):
        (folder / f"{name}.toml").write_text(AXES + RATES.format(points=count))
    command = [sys.executable, "-c", MEASURED, str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    printed: dict[str, float] = json.loads(done.stdout)
    return printed


def test_a_point_costs_the_same_from_a_thousand_to_a_million(tmp_path: Path) -> None:
    """Of two schedules of 28 layers and 50 steps, on one process; memory grows by few bytes."""
    each_us, most_bytes = {}, 0.0
    for points in (10**3, 10**4, 10**5, 10**6):
        found = measured(tmp_path / str(points), points)
        each_us[points] = 1e6 * found["took_s"] / points
        most_bytes = found["grew_bytes"]
    shown = ", ".join(f"{points}: {cost_us:.1f} us" for points, cost_us in each_us.items())
    spread = max(each_us.values()) / min(each_us.values())
    report("a point", f"{shown}; most over least {spread:.2f}", "1.5, that is 1 ± 20 %")
    report("memory for 10^6 points", f"{most_bytes / 1e6:.0f} MB", "600 MB")
    assert spread <= 1.5
    assert most_bytes < 600e6


RANDOM = """
[axes]
models = "dit-tiny"
schedules = ["ring", "patch"]
ranks = 4
gpus = "l20"
bandwidths = "1Gbit/s"
jitters = "100us"
seeds = {seeds}
"""


@contextmanager
def cluster(workers: int) -> Iterator[str]:
    """The address of a Dask scheduler with so many workers of one thread each."""
    started = []

    def start(pattern: str, *arguments: str) -> str:
        command = [sys.executable, "-m", "dask", *arguments, "--no-dashboard"]
        here = dict(os.environ, PYTHONUNBUFFERED="1", OMP_NUM_THREADS="1")
        process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=here)
        started.append(process)
        assert process.stderr is not None
        for line in process.stderr:
            if match := re.search(pattern, line):
                return match[1]
        raise AssertionError("it ended before it was ready")

    try:
        address = start(r"Scheduler at:\s+(tcp://\S+)", "scheduler", "--port", "0", "--no-show")
        for _ in range(workers):
            start(r"(Registered to)", "worker", address, "--nthreads", "1", "--no-nanny")
        yield address
    finally:
        for process in started:
            process.kill()
            process.communicate()


def swept_s(folder: Path, workers: int) -> float:
    """Seconds by the clock of a sweep on so many workers, which have imported everything."""
    from simnet.commands.sweep import Request, run

    folder.mkdir()
    for name, seeds in (("first", 16), ("many", 96)):
        (folder / f"{name}.toml").write_text(RANDOM.format(seeds=list(range(seeds))))
    with cluster(workers) as address:
        run(folder / "first.toml", Request(scheduler=address, cache=folder / "a"))
        began_s = perf_counter()
        run(folder / "many.toml", Request(scheduler=address, cache=folder / "b"))
        return perf_counter() - began_s


@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_two_dask_workers_are_1_7_times_as_fast_as_one(tmp_path: Path) -> None:
    """On points that only the discrete-event simulator can do; needs two idle cores."""
    pytest.importorskip("distributed")
    one_s, two_s = swept_s(tmp_path / "one", 1), swept_s(tmp_path / "two", 2)
    report("two Dask workers", f"{one_s:.1f} s / {two_s:.1f} s = {one_s / two_s:.2f}", "1.7")
    assert one_s / two_s >= 1.7
