"""Calibration: from measurements to the model's numbers, and back to a file that says them."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from simnet.calibration import collectives
from simnet.calibration.case import BETWEEN_TWO, COLLECTIVES, COLUMNS, Case
from simnet.calibration.cells import Cell
from simnet.calibration.fit import fit
from simnet.calibration.links import Terms, weights
from simnet.calibration.plan import FULL, QUICK, Effort, cases
from simnet.cli import BAD_INPUT, call
from simnet.network.collectives.selection import GLOO, Efficient
from simnet.network.files import load
from simnet.network.topology import Links, Medium
from simnet.network.writing import save_links
from traces.errors import InputError
from traces.units import bits

RATE_BPS, LATENCY_S, MESSAGE_S, READY_S = 200e6, 150e-6, 40e-6, 90e-6
EFFICIENCY = {"all_gather": 0.9, "all_reduce": 0.75, "all_to_all": 0.6}
LIVE = Path(__file__).parent / "live"


def synthetic(
    *,
    ranks: int = 4,
    duplex: float = 1.0,
    noise: float = 0.02,
    burst_bytes: float = 0.0,
    efficiency: dict[str, float] | None = None,
    seed: int = 1,
) -> pd.DataFrame:
    """What a network with these numbers gives to measure, with relative normal noise."""
    efficiency = EFFICIENCY if efficiency is None else efficiency
    byte_s = bits(1) / RATE_BPS
    terms = Terms(LATENCY_S, MESSAGE_S, byte_s, READY_S, duplex * byte_s)
    chosen = Efficient(GLOO, efficiency)
    network = Links("true", RATE_BPS, LATENCY_S, MESSAGE_S, READY_S, chosen)
    rng = np.random.default_rng(seed)
    rows = []
    for case in cases(FULL, ranks, RATE_BPS / bits(1)):
        cell = Cell(case.kind, case.ranks, case.nbytes, case.messages, np.ones(1))
        if case.kind in BETWEEN_TWO:
            seconds = float(np.dot(weights(cell, burst_bytes), terms))
        elif case.kind in efficiency:
            seconds = collectives.predict(cell, network).total_s
        else:
            continue
        times = seconds * (1 + noise * rng.standard_normal(FULL.repetitions(case)))
        rows += case.rows(times.tolist())
    return pd.DataFrame(rows)


def spoilt(table: pd.DataFrame, share: float, times: float) -> pd.DataFrame:
    """This share of the measurements takes so many times as long."""
    chosen = np.random.default_rng(2).random(len(table)) < share
    return table.assign(seconds=table["seconds"].where(~chosen, table["seconds"] * times))


def test_a_known_network_lies_in_the_intervals() -> None:
    """Rate, latency, cost per message, rendezvous, and the efficiency of each collective."""
    found = fit(synthetic())
    truth = [RATE_BPS, LATENCY_S, MESSAGE_S, READY_S, 1.0]
    parts = [*zip(found.numbers, truth, strict=True)]
    parts += [(found.efficiency[kind], value) for kind, value in EFFICIENCY.items()]

    for (value, low, high), true in parts:
        assert low <= true <= high
        assert low <= value <= high
    assert found.numbers.rate_bps.value == pytest.approx(RATE_BPS, rel=0.005)
    assert found.r_squared > 0.999
    assert found.notes == ()


def test_without_noise_the_network_is_found_exactly() -> None:
    """And the model's times are the measured ones."""
    found = fit(synthetic(noise=0.0))

    assert found.numbers.rate_bps.value == pytest.approx(RATE_BPS, rel=1e-4)
    assert found.numbers.latency_s.value == pytest.approx(LATENCY_S, rel=1e-3)
    assert found.numbers.message_s.value == pytest.approx(MESSAGE_S, rel=1e-3)
    assert found.efficiency["all_reduce"].value == pytest.approx(0.75, rel=1e-3)
    np.testing.assert_allclose(found.cells["predicted_s"], found.cells["measured_s"], rtol=2e-3)


def test_strays_hardly_move_the_fit() -> None:
    """One measurement in twenty takes ten times as long, and the terms stay within 1 %."""
    table = synthetic(noise=0.002)
    clean, found = fit(table), fit(spoilt(table, 0.05, 10))

    for name in ("rate_bps", "latency_s", "message_s"):
        was = getattr(clean.numbers, name).value
        assert getattr(found.numbers, name).value == pytest.approx(was, rel=0.01)
    for kind, part in clean.efficiency.items():
        assert found.efficiency[kind].value == pytest.approx(part.value, rel=0.01)


def test_the_same_seed_gives_the_same_intervals() -> None:
    """Another one gives others, around the same values."""
    table = synthetic(ranks=2, efficiency={})

    one, again, other = (fit(table, seed=seed).numbers for seed in (3, 3, 4))

    assert one == again
    assert one.rate_bps.low != other.rate_bps.low
    assert one.rate_bps.value == other.rate_bps.value


def test_a_bucket_s_burst_is_seen_and_does_not_spoil_the_rate() -> None:
    """It is told of in a note, for the model has none."""
    found = fit(synthetic(burst_bytes=20_000))

    assert found.numbers.rate_bps.value == pytest.approx(RATE_BPS, rel=0.01)
    assert found.burst_bytes == pytest.approx(20_000, rel=0.3)
    assert any("token bucket" in note for note in found.notes)


def test_two_ranks_on_half_duplex_links_share_a_medium() -> None:
    """More ranks than two are told to write such links themselves."""
    two, four = (fit(synthetic(ranks=n, duplex=2.0, efficiency={})) for n in (2, 4))

    assert two.half_duplex
    assert isinstance(two.network("n", {}), Medium)
    assert two.notes == ()
    assert isinstance(four.network("n", {}), Links)
    assert any("half duplex" in note for note in four.notes)


def test_links_that_differ_are_told_of() -> None:
    """Between ranks 2 and 3 everything takes twice as long."""
    table = synthetic()
    slow = table["ranks"] == "2,3"
    found = fit(table.assign(seconds=table["seconds"].where(~slow, table["seconds"] * 2)))

    assert any("links differ" in note and "2,3" in note for note in found.notes)
    assert found.numbers.rate_bps.value == pytest.approx(RATE_BPS, rel=0.01)


def test_a_collective_that_no_single_efficiency_fits_is_told_of() -> None:
    """Its largest size takes twice as long as the others let expect."""
    table = synthetic(noise=0.001)
    of_kind = table["kind"] == "all_gather"
    worst = of_kind & (table["bytes"] == table["bytes"][of_kind].max())
    found = fit(table.assign(seconds=table["seconds"].where(~worst, table["seconds"] * 2)))

    assert [note.split(":")[0] for note in found.notes] == ["all_gather"]


def test_a_collective_beyond_the_links_counts_as_1_in_the_file() -> None:
    """The number that was found is kept."""
    table = synthetic(noise=0.001)
    fast = table["kind"] == "all_gather"
    found = fit(table.assign(seconds=table["seconds"].where(~fast, table["seconds"] * 0.8)))
    network = found.network("n", {})

    assert found.efficiency["all_gather"].value > 1.05
    assert isinstance(network.collectives, Efficient)
    assert network.collectives.efficiency["all_gather"] == 1.0
    assert any("taken as 1: all_gather" in note for note in found.notes)


def test_the_file_reads_back_as_the_same_network(tmp_path: Path) -> None:
    """To the last digit; intervals and goodness are in its source."""
    network = fit(synthetic()).network("net", {"measured": "gloo"})
    save_links(network, tmp_path / "net.toml")
    again = load(tmp_path / "net.toml")

    assert isinstance(again, Links)
    assert (again.rate_bps, again.latency_s, again.message_s, again.ready_s) == (
        *(network.rate_bps, network.latency_s),
        *(network.message_s, network.ready_s),
    )
    assert again.collectives == network.collectives
    assert again.source["measured"] == "gloo"
    low, high = again.source["interval_95_percent"]["rate_bps"]
    assert low <= network.rate_bps <= high


def test_the_json_is_whole() -> None:
    """No number in it is infinite or missing."""
    text = json.dumps(fit(synthetic()).to_json(), allow_nan=False)
    assert json.loads(text)["goodness"][0]["kind"] == "ping"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"kind": "pong"}, "unknown measurements: kind 'pong': did you mean 'ping'"),
        ({"seconds": 0.0}, "seconds of a ping of .* bytes is 0.0, expected above 0"),
        ({"seconds": math.inf}, "is inf, expected above 0 and finite"),
        ({"bytes": -1}, "bytes of a ping of -1 bytes is -1"),
    ],
)
def test_tables_that_make_no_sense_are_refused(change: dict[str, Any], message: str) -> None:
    """The message names what is wrong, and where."""
    with pytest.raises(InputError, match=message):
        fit(synthetic().assign(**change))


def test_tables_that_tell_too_little_are_refused() -> None:
    """A column is missing, or there is nothing to fit a line through."""
    table = synthetic()
    with pytest.raises(InputError, match="column 'seconds' is missing"):
        fit(table.drop(columns="seconds"))
    with pytest.raises(InputError, match="no messages between two ranks"):
        fit(table[table["kind"] == "all_gather"])
    with pytest.raises(InputError, match="pings of two sizes"):
        fit(table[(table["kind"] != "ping") | (table["bytes"] == 1)])


@pytest.mark.parametrize("effort", [FULL, QUICK])
@pytest.mark.parametrize("ranks", [2, 3, 4])
@pytest.mark.parametrize("rate_bps", [1e6, 50e6, 1e9, 1e12])
def test_a_slow_network_takes_seconds_and_not_minutes(
    effort: Effort, ranks: int, rate_bps: float
) -> None:
    """Also at 1 Mbit/s, where only the smallest messages are taken often."""
    planned = cases(effort, ranks, rate_bps / bits(1))

    assert sum(case.estimate_s * effort.repetitions(case) for case in planned) < 60
    assert max(case.nbytes for case in planned) <= 16 * 2**20
    assert {case.kind for case in planned} == {*BETWEEN_TWO, *COLLECTIVES}
    for kind in ("ping", *COLLECTIVES):
        assert len(_sizes(planned, kind)) >= 2
    for kind in COLLECTIVES:  # a float32 for each rank at least, and no rest
        assert all(size % (4 * ranks) == 0 for size in _sizes(planned, kind))


def _sizes(planned: Iterable[Case], kind: str) -> set[int]:
    return {case.nbytes for case in planned if case.kind == kind}


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--ranks", "1", "--out", "n.toml"], "needs 2 ranks or more"),
        (["--out", "n.json"], "whose name ends in .toml"),
        (["--out", "none/n.toml"], "does not exist"),
        (["--out", "n.toml", "--figure", "f.txt"], "must end in .png, .svg or .pdf"),
        (["--out", "n.toml", "--rate", "5"], "has no unit"),
        (["--out", "n.toml", "--backend", "nccl", "--rate", "1Gbit/s"], "NCCL does not use"),
    ],
)
def test_requests_that_cannot_be_met_are_refused_at_once(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Before anything is measured."""
    monkeypatch.chdir(tmp_path)
    assert call(["calibrate", *arguments]) == BAD_INPUT
    assert message in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow
def test_two_ranks_on_the_loopback_give_a_network_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its numbers are those of some network, and another command takes it."""
    monkeypatch.chdir(tmp_path)
    command = ["calibrate", "--quick", "--out", "net.toml", "--figure", "fit.svg", "--json"]
    assert call(command) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["measured"] == "gloo, 2 ranks, quick"
    assert {"net.toml", "net.parquet", "net.csv", "fit.svg"} == {
        path.name for path in tmp_path.iterdir()
    }
    network = load(Path("net.toml"))
    assert isinstance(network, Links | Medium)
    assert 1e8 < network.rate_bps < 1e12
    assert 1e-6 < network.latency_s + network.message_s < 1e-2
    assert set(told["efficiency"]) == set(COLLECTIVES)
    table = pd.read_parquet("net.parquet")
    assert tuple(table) == COLUMNS
    assert (table["seconds"] > 0).all()
    pd.testing.assert_frame_equal(table, pd.read_csv("net.csv"))
    assert call(["predict", "--device", "l20", "--network", "net.toml", "--ranks", "2"]) == 0


@pytest.mark.slow
def test_torchrun_s_ranks_calibrate_together(tmp_path: Path) -> None:
    """Rank 0 writes the file; so a network between hosts is measured."""
    module = ["-m", "simnet", "calibrate", "--quick", "--out", str(tmp_path / "net.toml")]
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2", *module]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)

    assert done.returncode == 0, done.stderr
    assert load(tmp_path / "net.toml").source["measured"] == "gloo, 2 ranks, quick"
    assert done.stdout.count("efficiency of all_gather") == 1


@pytest.mark.slow
@pytest.mark.parametrize("how", ["raise", "kill", "exit"])
def test_a_rank_that_fails_is_named_and_none_is_left(how: str) -> None:
    """Whether it says why, is killed, or just ends."""
    script = [sys.executable, str(LIVE / "failing_rank.py"), how]
    done = subprocess.run(script, capture_output=True, text=True, timeout=60, check=False)
    expected = {
        "raise": "rank 1: ValueError: out of luck",
        "kill": "rank 1 was killed by signal 9",
        "exit": "rank 1 ended with exit code 7: last words",
    }

    assert done.stdout.splitlines() == [expected[how], "0 left"], done.stderr
