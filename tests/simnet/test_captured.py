"""A captured program is replayed like any run: as it was recorded, and on other networks."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from simnet.drivers.replay import replay
from simnet.network.presets import network
from simnet.network.recorded import RecordedNetwork
from traces.summary import summarize
from traces.trace import Trace

PROGRAM = Path(__file__).parents[2] / "examples" / "programs" / "denoise.py"


@pytest.fixture(scope="module")
def captured(tmp_path_factory: pytest.TempPathFactory) -> Trace:
    """Of a program that torchrun starts, and that knows nothing of this."""
    out = tmp_path_factory.mktemp("captured") / "T"
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    recorded = ["-m", "traces.capture", "--out", str(out), str(PROGRAM), "--steps", "3"]
    done = subprocess.run(
        [*torchrun, "--nproc-per-node", "2", *recorded], capture_output=True, text=True, check=True
    )
    assert done.stdout.count("the latents' norm is") == 2
    return Trace.open(out)


@pytest.mark.slow
def test_a_program_under_torchrun_is_recorded_by_every_rank(captured: Trace) -> None:
    """Four blocks, three steps, two ranks: a gather and a wait for each."""
    kinds = captured.ops.groupby(["rank", "kind"]).size().unstack()
    assert kinds["all_gather"].tolist() == kinds["wait"].tolist() == [12, 12]
    assert (captured.run.steps, captured.run.ranks, captured.problems) == (3, 2, ())
    gathers = captured.ops[captured.ops["kind"] == "all_gather"]
    assert set(gathers["name"]) == {"blocks.attn"}
    assert gathers.groupby(["rank", "step"])["layer"].agg(list).tolist() == [[0, 1, 2, 3]] * 6


@pytest.mark.slow
def test_on_the_recorded_network_it_takes_as_long_as_it_took(captured: Trace) -> None:
    """Compute, gaps, transfers and waits together are all the time that there was."""
    measured = summarize(captured)
    predicted = summarize(replay(captured, RecordedNetwork.from_trace(captured)))

    assert measured.evidence == "measured"
    assert predicted.total_s == pytest.approx(measured.total_s, rel=0.02)


@pytest.mark.slow
def test_on_a_slow_network_it_takes_longer(captured: Trace) -> None:
    """By what the transfers take that compute cannot hide."""
    times = [
        summarize(replay(captured, network(name))).total_s
        for name in ("ethernet-10g", "ethernet-1g", "ethernet-100m")
    ]
    assert times == sorted(times)
    # 4 layers x 3 steps of 256 kB each way at 100 Mbit/s.
    assert times[2] > 12 * 262144 * 8 / 100e6
