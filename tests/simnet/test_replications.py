"""Predictions as distributions: their statistics, and the command that makes them."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy import stats

from simnet.cli import BAD_INPUT, OK, call
from simnet.network.conditions.conditions import Conditions, Jitter, Straggler
from simnet.network.conditions.under import Under
from simnet.network.presets import NETWORKS
from simnet.replications import Distribution, seeds
from traces.errors import InputError
from traces.trace import Trace

NANO = ["--model", "dit-nano", "--ranks", "2", "--steps", "3", "--device", "l20"]
PREDICT = ["predict", *NANO, "--network", "ethernet-1g"]
JITTER = ["--jitter", "200us"]


def printed(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    """What a command prints as JSON."""
    capsys.readouterr()
    assert call([*arguments, "--json"]) == OK
    return json.loads(capsys.readouterr().out)


def test_statistics_of_totals_are_those_of_the_textbook() -> None:
    """Worked out by hand, with t(4) from its table."""
    many = Distribution.of([3.0, 1.0, 2.0, 5.0, 4.0])
    assert (many.mean_s, many.median_s) == (3.0, 3.0)
    assert many.sd_s == pytest.approx(math.sqrt(2.5))
    assert (many.low_s, many.high_s) == pytest.approx((1.2, 4.8))
    half_s = 2.776 * math.sqrt(2.5 / 5)
    assert (many.mean_low_s, many.mean_high_s) == pytest.approx((3 - half_s, 3 + half_s), rel=1e-3)
    assert many.totals_s[many.median_run] == 3.0
    assert Distribution.of([2.0, 1.0, 4.0, 3.0]).median_run == 0  # of two, the faster


def test_the_interval_is_that_of_scipy_and_no_wider_than_nothing_for_equal_totals() -> None:
    """Two ways to the same numbers."""
    totals = np.random.default_rng(0).gamma(2.0, size=30)
    many = Distribution.of(totals.tolist())
    expected = stats.t.interval(0.95, 29, loc=totals.mean(), scale=stats.sem(totals))
    assert (many.mean_low_s, many.mean_high_s) == pytest.approx(expected)
    same = Distribution.of([0.5] * 4)
    assert (same.mean_low_s, same.mean_high_s) == (0.5, 0.5)


@pytest.mark.parametrize(
    ("shape", "coverage"), [(1000.0, 0.95), (1.0, 0.925)], ids=["almost normal", "exponential"]
)
def test_intervals_hold_the_mean_as_often_as_they_say(shape: float, coverage: float) -> None:
    """Of 2000 samples of 30; for skewed totals a little less often, as the docs say."""
    samples = np.random.default_rng(1).gamma(shape, 1 / shape, size=(2000, 30))
    intervals = [Distribution.of(sample.tolist()) for sample in samples]
    held = np.mean([each.mean_low_s <= 1 <= each.mean_high_s for each in intervals])
    assert held == pytest.approx(coverage, abs=3 * math.sqrt(0.05 * 0.95 / 2000))


def test_replications_of_what_is_certain_are_refused() -> None:
    """A straggler is no matter of luck; nor is one total a distribution."""
    network = NETWORKS["ethernet-1g"]
    under = Under(network, Conditions(stragglers=(Straggler(1, 2.0),)), 2)
    with pytest.raises(InputError, match="would all be equal, for nothing in it is random"):
        seeds(under, 3)
    with pytest.raises(InputError, match="a distribution of 1 totals"):
        Distribution.of([1.0])
    lucky = Under(network, Conditions(Jitter(1e-3)), 2, seed=5)
    assert [each.seed for each in seeds(lucky, 3)] == [5, 6, 7]


def test_replications_are_the_runs_of_their_seeds(capsys: pytest.CaptureFixture[str]) -> None:
    """Each by itself gives the total that it has among the others; so does asking again."""
    many = printed(capsys, *PREDICT, *JITTER, "--replications", "5", "--conditions-seed", "3")
    totals_s = many["distribution"]["totals_s"]
    alone_s = [
        printed(capsys, *PREDICT, *JITTER, "--conditions-seed", str(seed))["total_s"]
        for seed in range(3, 8)
    ]
    assert totals_s == alone_s
    assert len(set(totals_s)) == 5
    assert many["total_s"] == many["distribution"]["median_s"] == sorted(totals_s)[2]
    again = printed(capsys, *PREDICT, *JITTER, "--replications", "5", "--conditions-seed", "3")
    assert again == many


def test_the_median_run_is_saved(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """With its seed in the name of its network."""
    out = tmp_path / "P"
    arguments = [*PREDICT, *JITTER, "--replications", "5", "--out", str(out)]
    many = printed(capsys, *arguments)
    middle = int(np.argsort(many["distribution"]["totals_s"])[2])
    network = f"ethernet-1g with jitter 200 µs, seed {middle}"
    assert Trace.open(out).run.network == network == many["network"]
    assert printed(capsys, "show", str(out))["total_s"] == many["total_s"]
    assert call([*PREDICT, *JITTER, "--replications", "5"]) == OK
    table = capsys.readouterr().out
    assert "mean, 95 % confidence" in table
    assert " ± " in table
    assert "3 steps, the median run on ethernet-1g with jitter 200" in table


def test_a_replay_takes_the_same_conditions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A replay of a prediction under them is a prediction under them."""
    plain, file = tmp_path / "P", tmp_path / "c.toml"
    assert call([*PREDICT, "--out", str(plain)]) == OK
    file.write_text('[[degradation]]\nhops = "rank 0 out"\nfactor = 0.5\n')
    conditions = ["--straggler", "1:2", "--straggler", "0:3", "--conditions", str(file), *JITTER]
    predicted = printed(capsys, *PREDICT, *conditions)
    replayed = printed(capsys, "replay", str(plain), "--network", "ethernet-1g", *conditions)
    assert replayed["total_s"] == pytest.approx(predicted["total_s"], rel=1e-12)
    assert replayed["network"] == predicted["network"]
    assert replayed["recorded"]["total_s"] < replayed["total_s"]
    many = printed(
        capsys, "replay", str(plain), "--network", "ethernet-1g", *JITTER, "--replications", "3"
    )
    assert many["distribution"]["mean_low_s"] <= many["distribution"]["mean_s"]


def test_conditions_of_a_network_s_file_hold_with_those_of_options(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As they would in a file of their own."""
    links = '[links]\nrate = "1Gbit/s"\nlatency = "50us"\n'
    outage = '[[outage]]\nhops = "rank 0 out"\nlasts = "1ms"\napart = "1ms"\n'
    for name, text in (("office", links + outage), ("plain/office", links), ("bad", outage)):
        file = (tmp_path / name).with_suffix(".toml")
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    together, apart = (
        printed(capsys, "predict", *NANO, *JITTER, "--network", str(tmp_path / network), *more)
        for network, more in (
            ("office.toml", []),
            ("plain/office.toml", ["--conditions", str(tmp_path / "bad.toml")]),
        )
    )
    assert together == apart
    assert together["network"] == "office with jitter 200 µs, outage, seed 0"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--replications", "3"], "3 replications without conditions would all be equal"),
        (["--straggler", "1:2", "--replications", "3"], "nothing in it is random"),
        ([*JITTER, "--replications", "0"], "--replications is 0"),
        (["--jitter", "20"], "time '20' has no unit"),
        (["--straggler", "1"], "--straggler '1': expected a rank and a slowdown, such as 2:1.5"),
        (["--straggler", "1:slow"], "--straggler '1:slow': expected"),
        (["--straggler", "9:2"], "no rank 9"),
        (["--straggler", "1:2", "--straggler", "1:3"], "rank 1 is named 2 times"),
        ([*JITTER, "--conditions-seed", "-1"], "seed of the conditions is -1"),
        (["--conditions", "nowhere.toml"], "nowhere.toml"),
        (["--conditions", "c.toml"], "c.toml: jitter: latency is 5, without a unit"),
        (["--conditions", "d.toml", *JITTER], "jitter is given twice"),
        (["--conditions", "e.toml"], "did you mean 'rank 0 out'"),
    ],
    ids=" ".join,
)
def test_conditions_that_will_not_do_are_refused(
    arguments: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With the option or the file at fault."""
    monkeypatch.chdir(tmp_path)
    Path("c.toml").write_text("[jitter]\nlatency = 5\n")
    Path("d.toml").write_text("[jitter]\nlatency = '5us'\n")
    Path("e.toml").write_text("[[outage]]\nhops = 'rank 0 oot'\nto = '1s'\n")
    assert call([*PREDICT, *arguments]) == BAD_INPUT
    assert message in " ".join(capsys.readouterr().err.split())


def test_the_recorded_network_takes_no_conditions(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It has times, and no links to put them on."""
    plain = str(tmp_path / "P")
    assert call([*PREDICT, "--out", plain]) == OK
    assert call(["replay", plain, "--network", "recorded", *JITTER]) == BAD_INPUT
    assert "conditions need the links of a network model" in capsys.readouterr().err
