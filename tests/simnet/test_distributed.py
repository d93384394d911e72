"""Real processes over gloo: the same bits as in one process, and clear words when one is lost."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import psutil
import pytest

from simnet.drivers.launch import run_distributed
from simnet.drivers.local import run_local
from simnet.drivers.observer import Observer
from simnet.drivers.replay import replay
from simnet.job import Job
from simnet.network.presets import network
from simnet.network.recorded import RecordedNetwork
from simnet.schedules.base import Schedule
from simnet.schedules.distrifusion import DistriFusion
from simnet.schedules.named import spec
from simnet.schedules.ring import RingAttention
from traces.errors import InputError, RunError
from traces.join import join
from traces.operation import Operation
from traces.partial import common_steps
from traces.summary import summarize
from traces.trace import Trace

pytestmark = pytest.mark.slow
EXAMPLES = Path(__file__).parent / "live"


def run_script(name: str, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run a script of live/ in a Python of its own."""
    command = [sys.executable, str(EXAMPLES / name), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)


@pytest.mark.parametrize(
    ("chosen", "ranks"),
    [
        (RingAttention(), 1),
        (RingAttention(), 3),
        (RingAttention(), 4),
        (RingAttention(), 6),
        (DistriFusion(warmup_steps=2), 4),
    ],
    ids=["ring-1", "ring-3", "ring-4", "ring-6", "distrifusion-4"],
)
def test_processes_give_the_same_bits_as_one_process(
    chosen: Schedule, ranks: int, tmp_path: Path
) -> None:
    """Keys and values, hidden states and the latent, of every rank, step and layer."""
    job = Job("dit-nano", ranks=ranks, steps=4)
    keep = ["kv", "hidden", "latent"]
    live = run_distributed(chosen, job, tmp_path / "live", keep=keep)
    local = run_local(chosen, job, tmp_path / "local", keep=keep)
    assert live.problems == ()
    for name in keep:
        np.testing.assert_array_equal(live.activations(name), local.activations(name))
    join(live, local)  # the same rows, with the same shapes
    assert live.run.evidence == "measured"
    claimed = chosen.claims(job).wire_bytes
    assert live.ops.groupby("rank")["wire_bytes"].sum().tolist() == list(claimed)


@pytest.mark.parametrize("chosen", [RingAttention(), DistriFusion()], ids=spec)
def test_a_live_trace_adds_up_and_can_be_replayed(chosen: Schedule, tmp_path: Path) -> None:
    """Compute, waiting and the host make up each rank's time; other networks only move waiting."""
    live = run_distributed(chosen, Job("dit-nano", ranks=4, steps=4), tmp_path / "t")
    for rank in summarize(live).ranks:
        parts_s = rank.compute_s + rank.exposed_s + rank.host_s
        assert parts_s == pytest.approx(rank.total_s, rel=1e-6)
    slow = summarize(replay(live, network("ethernet-100m")))
    fast = summarize(replay(live, network("infinite")))
    assert fast.total_s < slow.total_s
    for before, after in zip(summarize(live).ranks, slow.ranks, strict=True):
        assert after.compute_s == pytest.approx(before.compute_s)
        assert after.wire_bytes == before.wire_bytes
    assert summarize(replay(live, RecordedNetwork.from_trace(live))).evidence == "predicted"


def test_every_kind_of_transfer_moves_the_right_values_live(tmp_path: Path) -> None:
    """Send, recv, shift and the collectives, in the world and in a group of some ranks."""
    done = run_script("transfers.py", str(tmp_path / "t"))
    assert done.returncode == 0, done.stderr
    seen = [f"rank {rank} has seen what it should" for rank in range(4)]
    assert sorted(done.stdout.splitlines()) == seen
    kinds = set(Trace.open(tmp_path / "t").ops["kind"])
    assert {"send", "recv", "shift", "all_gather", "all_reduce", "all_to_all"} <= kinds


def test_a_compute_that_fails_on_one_rank_is_reported_with_its_place(tmp_path: Path) -> None:
    """Once, not by every peer that lost it."""
    done = run_script("failing.py", str(tmp_path / "t"))
    assert done.returncode == 1, done.stderr
    assert done.stdout == "rank 1, step 2: compute 'fail' failed: out of luck\n"


class KillAfter(Observer):
    """Kills a child process when rank 0 is through with a step."""

    def __init__(self, step: int, rank: int) -> None:
        self.step, self.rank = step, rank

    def step_done(self, rank: int, step: int, operations: Sequence[Operation]) -> None:
        """See Observer."""
        del rank, operations  # only rank 0's steps are reported
        if step == self.step:
            children = psutil.Process().children()
            ranks = [child for child in children if "spawn_main" in " ".join(child.cmdline())]
            ranks.sort(key=lambda child: child.create_time())
            ranks[self.rank].send_signal(signal.SIGKILL)


@pytest.mark.parametrize("chosen", [RingAttention(), DistriFusion()], ids=spec)
def test_a_killed_rank_is_named_and_what_it_recorded_can_be_replayed(
    chosen: Schedule, tmp_path: Path
) -> None:
    """Nobody hangs, no process is left, and the common steps survive."""
    job = Job("dit-nano", ranks=3, steps=600)
    with pytest.raises(RunError, match="rank 2 was killed by signal 9"):
        run_distributed(chosen, job, tmp_path / "t", observer=KillAfter(3, rank=2))
    assert [c for c in psutil.Process().children() if "spawn_main" in " ".join(c.cmdline())] == []
    left = Trace.open(tmp_path / "t")
    assert any("rank 2" in problem for problem in left.problems)
    whole = common_steps(left)
    assert 1 <= whole.run.steps < 600
    assert summarize(replay(whole, network("ethernet-1g"))).total_s > 0


def test_hosts_with_clocks_of_their_own_come_to_one_time(tmp_path: Path) -> None:
    """Three ranks whose clocks are minutes apart agree on the run's time to a millisecond."""
    done = run_script("hosts.py", str(tmp_path))
    assert done.returncode == 0, done.stderr
    offsets = [float(line) for line in done.stdout.split()]
    assert len(offsets) == 3
    assert max(offsets) - min(offsets) < 1e-3


def test_nothing_is_started_for_a_schedule_that_cannot_end(tmp_path: Path) -> None:
    """The dry run finds the deadlock, and no folder is made."""
    done = run_script("deadlock.py", str(tmp_path / "t"))
    assert done.returncode == 1, done.stderr
    assert done.stdout.startswith("deadlock: no rank can go on")
    assert not (tmp_path / "t").exists()


def test_a_wish_for_an_activation_that_there_is_not_is_reported(tmp_path: Path) -> None:
    """Before anything is started."""
    job = Job("dit-nano", ranks=2, steps=1)
    for run in (run_distributed, run_local):
        with pytest.raises(InputError, match="'kw': did you mean 'kv'"):
            run(RingAttention(), job, tmp_path / "t", keep=["kw"])
    assert not (tmp_path / "t").exists()


def test_it_runs_under_torchrun(tmp_path: Path) -> None:
    """Each of torchrun's processes becomes a rank, and rank 0 prints the summary."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    command += ["--master-port", "0", "--nnodes", "1", "--standalone", "-m", "simnet", "run"]
    command += ["--model", "dit-nano", "--ranks", "2", "--steps", "2", "--json"]
    command += ["--out", str(tmp_path / "t")]
    quiet = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    done = subprocess.run(
        command, capture_output=True, text=True, env=quiet, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.count('"total_s"') == 3  # the run's and two ranks'
    assert Trace.open(tmp_path / "t").problems == ()


def test_no_thread_is_left_by_a_local_run(tmp_path: Path) -> None:
    """Watchers belong to ranks' own processes."""
    before = threading.active_count()
    run_local(RingAttention(), Job("dit-nano", ranks=2, steps=1), tmp_path / "t")
    assert threading.active_count() == before
