"""Replays of a real program that somebody recorded from outside, with transfers of every kind."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from simnet.drivers.replay import replay
from simnet.network.presets import network
from simnet.network.recorded import RecordedNetwork
from simnet.recognition.recognise import recognise
from traces.columns import COLLECTIVES
from traces.summary import summarize
from traces.trace import Trace

pytestmark = pytest.mark.slow
SCRIPT = Path(__file__).parent / "live" / "captured.py"


@pytest.fixture(scope="module")
def captured(tmp_path_factory: pytest.TempPathFactory) -> Trace:
    """Of three gloo processes."""
    folder = tmp_path_factory.mktemp("captured")
    command = [sys.executable, str(SCRIPT), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 0, done.stderr
    return Trace.open(folder / "T")


def test_every_kind_of_transfer_is_there(captured: Trace) -> None:
    """In the trace, and so in what is replayed."""
    assert {*COLLECTIVES, "send", "recv"} <= set(captured.ops["kind"])
    assert set(replay(captured, network("ethernet-1g")).ops["kind"]) == set(captured.ops["kind"])


def test_on_the_recorded_network_it_takes_what_it_took(captured: Trace) -> None:
    """Within 5 %: what is not known is how long a rank was through before the others came."""
    again = summarize(replay(captured, RecordedNetwork.from_trace(captured)))
    assert again.total_s == pytest.approx(summarize(captured).total_s, rel=0.05)


def test_on_other_networks_only_waiting_changes(captured: Trace) -> None:
    """Compute and the host take what they took; a slow network takes longer than a fast one."""
    before = summarize(captured)
    names = ("infinite", "ethernet-10g", "ethernet-100m")
    after = [summarize(replay(captured, network(name))) for name in names]
    for each in after:
        for rank, was in zip(each.ranks, before.ranks, strict=True):
            assert rank.compute_s == pytest.approx(was.compute_s)
            assert rank.host_s == pytest.approx(was.host_s)
            assert rank.wire_bytes == was.wire_bytes
    totals_s = [each.total_s for each in after]
    assert totals_s == sorted(totals_s)
    assert totals_s[0] >= max(rank.compute_s + rank.host_s for rank in before.ranks)


def test_it_is_none_of_our_schedules(captured: Trace) -> None:
    """And is said to be none."""
    found = recognise(captured)
    assert found.schedule is None
    assert "none of our schedules sends" in found.against[0]
