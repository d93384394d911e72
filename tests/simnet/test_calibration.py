"""Calibration: from measurements to the model's numbers, and back to a file that says them."""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from scipy.optimize import least_squares

from simnet.calibration import collectives
from simnet.calibration.calibration import Estimate
from simnet.calibration.case import BETWEEN_TWO, COLLECTIVES, Case
from simnet.calibration.cells import Cell
from simnet.calibration.fit import fit
from simnet.calibration.links import Terms, weights
from simnet.calibration.plan import FULL, QUICK, Effort, cases, visits
from simnet.calibration.robust import Lines
from simnet.network.collectives.selection import GLOO, Efficient
from simnet.network.files import load
from simnet.network.topology import Links, Medium
from simnet.network.writing import save_links
from traces.errors import InputError
from traces.units import bits

RATE_BPS, LATENCY_S, MESSAGE_S, READY_S = 200e6, 150e-6, 40e-6, 90e-6
EFFICIENCY = {"all_gather": 0.9, "all_reduce": 0.75, "all_to_all": 0.6}


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
    terms = Terms(LATENCY_S, MESSAGE_S, byte_s, READY_S, duplex * byte_s, burst_bytes)
    chosen = Efficient(GLOO, efficiency)
    network = Links("true", RATE_BPS, LATENCY_S, MESSAGE_S, READY_S, chosen)
    rng = np.random.default_rng(seed)
    rows = []
    for case in cases(FULL, ranks, RATE_BPS / bits(1)):
        cell = Cell(case.kind, case.ranks, case.nbytes, case.messages, np.ones(1))
        if case.kind in BETWEEN_TWO:
            seconds = float(np.dot(weights(cell, burst_bytes), terms[:5]))
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
    truth = [RATE_BPS, LATENCY_S, MESSAGE_S, READY_S, 1.0, 0.0]
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


def restless(share: float, *, seed: int = 7) -> pd.DataFrame:
    """Two ranks on hosts where this share of repetitions waits for a time slice of 3.6 ms."""
    table = synthetic(ranks=2, efficiency={}, seed=seed)
    waits = np.random.default_rng(seed).random(len(table)) < share
    return table.assign(seconds=table["seconds"] + 3.6e-3 * waits)


def test_waiting_for_a_time_slice_is_not_taken_for_latency() -> None:
    """Though more than half of all repetitions wait, ten times as long as a message takes."""
    found = fit(restless(0.55)).numbers

    assert found.latency_s.value == pytest.approx(LATENCY_S, rel=0.05)
    assert found.message_s.value == pytest.approx(MESSAGE_S, rel=0.1)
    assert found.rate_bps.value == pytest.approx(RATE_BPS, rel=0.01)


def test_calibrations_of_one_network_agree_within_their_intervals() -> None:
    """Whatever else its hosts did: each interval overlaps each other one of its term."""
    found = [fit(restless(share, seed=seed)).numbers for seed, share in enumerate((0, 0.3, 0.6))]

    for estimates in zip(*found, strict=True):
        assert max(part.low for part in estimates) <= min(part.high for part in estimates)


def test_a_cell_s_time_is_the_median_of_what_nothing_delayed() -> None:
    """What took longer than twice the lower quartile was delayed; where nothing was, all count."""
    times_s = np.array([1.0, 1.1, 1.2, 1.3, 36.0, 37.0, 38.0, 39.0])
    slow, calm = (Cell("ping", (0, 1), 1, 1, times) for times in (times_s, times_s[:4]))

    assert slow.time_s == calm.time_s == pytest.approx(1.15)
    assert (slow.delayed, calm.delayed) == (0.5, 0.0)
    assert slow.quartiles_s == calm.quartiles_s
    assert slow.uncertainty > 2 * calm.uncertainty


def test_what_comes_in_spells_makes_a_time_less_sure() -> None:
    """Repetitions that are alike for a while tell less than as many that are not."""
    mixed = np.tile([1.0, 1.5], 24)
    in_spells = np.sort(mixed)

    cells = [Cell("ping", (0, 1), 1, 1, times_s) for times_s in (mixed, in_spells)]
    spread = [cell.uncertainty for cell in cells]

    assert spread[0] < spread[1]


def test_lines_are_fitted_as_by_scipy() -> None:
    """Many at once, the same terms and costs; noise pushes some terms against their bound."""
    rng = np.random.default_rng(5)
    matrix = np.add(rng.integers(0, 4, (12, 3)), [1.0, 0.0, 0.0])
    sure, ones = np.full(12, 20.0), np.ones(3)
    times_s = matrix @ [1.0, 0.05, 2.0] * np.exp(0.3 * rng.standard_normal((20, 12)))

    found = Lines(matrix, sure, ones, 0 * ones).fit(times_s)

    assert (found.terms[:, 1] == 0).any()
    for terms, cost, row in zip(*found, times_s, strict=True):
        errors = partial(_relative_errors, sure, matrix, row)
        other = least_squares(
            errors, ones, bounds=(1e-12, np.inf), loss="soft_l1", xtol=1e-12, ftol=1e-12
        )
        assert cost == pytest.approx(other.cost, rel=1e-6)
        np.testing.assert_allclose(terms, other.x, rtol=1e-3, atol=1e-4)


def _relative_errors(sure: Any, matrix: Any, times_s: Any, x: Any) -> Any:
    return sure * (np.log(matrix @ x) - np.log(times_s))


def test_the_same_seed_gives_the_same_intervals() -> None:
    """Another one gives others, around the same values."""
    table = synthetic(ranks=2, efficiency={})

    one, again, other = (fit(table, seed=seed).numbers for seed in (3, 3, 4))

    assert one == again
    assert one.rate_bps.low != other.rate_bps.low
    assert one.rate_bps.value == other.rate_bps.value


def test_a_bucket_s_burst_is_seen_and_does_not_spoil_the_rate() -> None:
    """It is told of in a note, and the network has it."""
    found = fit(synthetic(burst_bytes=20_000))

    assert found.network("test", {}).burst_bytes == found.numbers.burst_bytes.value
    assert found.numbers.rate_bps.value == pytest.approx(RATE_BPS, rel=0.01)
    assert found.numbers.burst_bytes.value == pytest.approx(20_000, rel=0.3)
    assert any("token bucket" in note for note in found.notes)


def test_a_burst_that_is_not_sure_widens_the_interval_of_the_rate() -> None:
    """It is found anew in every draw."""
    table = synthetic(ranks=2, efficiency={}, burst_bytes=20_000)
    half = np.random.default_rng(3).random(len(table)) < 0.5  # the bucket was empty at these
    mixed = table.assign(
        seconds=table["seconds"].where(half, synthetic(ranks=2, efficiency={})["seconds"])
    )
    sure, unsure = fit(table).numbers, fit(mixed).numbers

    assert unsure.burst_bytes.low < unsure.burst_bytes.high
    assert width(unsure.rate_bps) > width(sure.rate_bps)


def width(estimate: Estimate) -> float:
    """From end to end."""
    return estimate.high - estimate.low


def test_two_ranks_on_half_duplex_links_share_a_medium() -> None:
    """More ranks than two are told to write such links themselves."""
    two, four = (fit(synthetic(ranks=n, duplex=2.0, efficiency={})) for n in (2, 4))

    assert two.half_duplex
    assert isinstance(two.network("n", {}), Medium)
    assert two.notes == ()
    assert isinstance(four.network("n", {}), Links)
    assert any("half duplex" in note for note in four.notes)


def test_more_than_half_duplex_explains_is_told_of() -> None:
    """Such as on the loopback, where a byte each way costs the same cores."""
    found = fit(synthetic(ranks=2, duplex=2.6, efficiency={}))

    assert isinstance(found.network("n", {}), Medium)
    assert [note for note in found.notes if "2.60 times as long" in note] == list(found.notes)


def test_a_duplex_factor_between_is_told_of() -> None:
    """And, where the interval has both, that the choice is not sure."""
    between = fit(synthetic(ranks=2, duplex=1.3, efficiency={}))
    on_the_edge = fit(synthetic(ranks=2, duplex=1.5, noise=0.05, efficiency={}))

    assert any("neither full nor half duplex" in note for note in between.notes)
    assert any("full or half duplex is not sure" in note for note in on_the_edge.notes)


def test_times_that_the_model_does_not_explain_are_told_of() -> None:
    """By R², whatever the intervals say."""
    table = synthetic(ranks=2, efficiency={})
    factor = table.groupby(["kind", "bytes", "messages"]).ngroup().map(lambda n: 30.0 ** (n % 3))
    found = fit(table.assign(seconds=table["seconds"] * factor))

    assert found.r_squared < 0.8
    assert any(note.startswith("R² of messages is only") for note in found.notes)


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


@pytest.mark.parametrize("effort", [FULL, QUICK])
def test_short_cases_are_measured_in_rounds_and_long_ones_once(effort: Effort) -> None:
    """Each as often as the effort says in all; the first round is in order."""
    planned = cases(effort, 2, 12.5e6)
    made = visits(effort, planned)
    total: Counter[Case] = Counter()
    for case, repetitions in made:
        total[case] += repetitions

    assert [case for case, _ in made[: len(planned)]] == planned
    assert total == {case: effort.repetitions(case) for case in planned}
    assert set(Counter(case for case, _ in made).values()) == {1, effort.rounds}


def test_repetitions_of_later_rounds_are_numbered_on() -> None:
    """So the table tells them apart."""
    rows = Case("ping", (0, 1), 8).rows([0.1, 0.2], first=6)

    assert [(row["repetition"], row["seconds"]) for row in rows] == [(6, 0.1), (7, 0.2)]
