"""Sweeps on a Dask cluster: a scheduler and workers that are processes of their own."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from simnet.cli import BAD_INPUT, call
from simnet.sweep.design import Design
from simnet.sweep.reading import read
from simnet.sweep.running import Runner
from simnet.sweep.store import Store
from simnet.sweep.workers import Cluster

pytest.importorskip("distributed")
pytestmark = [
    pytest.mark.slow,
    # Dask's own: connections that a killed worker leaves open.
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

Sweeping = Callable[..., dict[str, Any]]

AXES = """
[axes]
models = "dit-nano"
schedules = ["ring", "patch"]
codecs = ["none", "residual-1bit"]
ranks = 2
steps = 2
gpus = "l20"
bandwidths = { from = "100Mbit/s", to = "100Gbit/s", points = 4 }
jitters = ["0s", "1ms"]
seeds = [0, 1, 2, 3]
"""


class Dask:
    """A scheduler, and two workers of one thread each."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.scheduler = self._start("scheduler", "--port", "0", "--no-dashboard", "--no-show")
        self.address = self._said(self.scheduler, r"Scheduler at:\s+(tcp://\S+)")
        options = ("--nthreads", "1", "--no-dashboard", "--local-directory", str(folder))
        self.workers = [self._start("worker", self.address, *options) for _ in range(2)]
        for worker in self.workers:
            self._said(worker, r"(Registered to:\s+\S+)")

    def _start(self, *arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "dask", *arguments]
        here = dict(os.environ, PYTHONUNBUFFERED="1", OMP_NUM_THREADS="1")
        return subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=here)

    def _said(self, process: subprocess.Popen[str], pattern: str) -> str:
        """What the first line that matches has in its group."""
        assert process.stderr is not None
        for line in process.stderr:
            if match := re.search(pattern, line):
                return match[1]
        raise AssertionError("it ended before it was ready")

    def kill_a_worker(self) -> None:
        """With its nanny, which would start another one, and the process that computes."""
        family = psutil.Process(self.workers[0].pid)
        for process in [family, *family.children(recursive=True)]:
            process.kill()

    def close(self) -> None:
        """End every process that this started."""
        for process in (*self.workers, self.scheduler):
            for child in psutil.Process(process.pid).children(recursive=True):
                child.kill()
            process.kill()
            process.communicate()


@pytest.fixture
def dask(tmp_path: Path) -> Iterator[Dask]:
    """A cluster of two workers on this machine."""
    cluster = Dask(tmp_path)
    yield cluster
    cluster.close()


def test_a_cluster_gives_what_this_machine_gives(
    dask: Dask, sweeping: Sweeping, tmp_path: Path
) -> None:
    """The same bytes; and nothing is computed twice."""
    there = sweeping(AXES, "--scheduler", dask.address, "--out", str(tmp_path / "there"))
    again = sweeping(AXES, "--scheduler", dask.address)
    sweeping(AXES, "--out", str(tmp_path / "here"), into=tmp_path / "other")

    assert there["computed"] == 4 * 4 * (1 + 4)
    assert again["computed"] == 0
    for name in ("points.parquet", "points.nc", "sweep.toml"):
        assert (tmp_path / "there" / name).read_bytes() == (tmp_path / "here" / name).read_bytes()


def test_a_worker_that_is_killed_loses_no_finished_point(
    dask: Dask, sweeping: Sweeping, tmp_path: Path
) -> None:
    """The other one does what it had yet to do, and the result is the same."""
    path, cache = tmp_path / "killed.toml", tmp_path / "killed"
    path.write_text(AXES)
    heard: list[int] = []

    def progress(count: int) -> None:
        heard.append(count)
        if len(heard) == 7:  # the first is what was known before
            dask.kill_a_worker()

    cluster = Cluster(dask.address)
    try:
        counts = Runner(Design(read(path)), Store(cache, print), cluster, progress).run()
    finally:
        cluster.close()
    assert counts.computed == sum(heard) == 4 * 4 * (1 + 4)
    assert len(heard) > 10

    after = sweeping(AXES, "--out", str(tmp_path / "after"), into=cache)
    sweeping(AXES, "--out", str(tmp_path / "here"), into=tmp_path / "other")
    assert after["computed"] == 0
    for name in ("points.parquet", "points.nc"):
        assert (tmp_path / "after" / name).read_bytes() == (tmp_path / "here" / name).read_bytes()


def test_an_address_where_nobody_answers_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With how to start a scheduler."""
    path = tmp_path / "small.toml"
    path.write_text(AXES)
    options = ["--cache", str(tmp_path / "cache"), "--scheduler", "tcp://127.0.0.1:9"]
    assert call(["sweep", str(path), *options]) == BAD_INPUT
    assert "no Dask scheduler answers there" in capsys.readouterr().err
