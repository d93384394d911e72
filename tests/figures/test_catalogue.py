"""The catalogue makes what applies, says why the rest does not, and how to make it again."""

from __future__ import annotations

import json
import shlex
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from figures.catalogue import FIGURES, Inputs, Made, Skipped, made, outcomes
from simnet.cli import BAD_INPUT, OK, call
from simnet.drivers.local import run_local
from simnet.job import Job
from simnet.schedules.named import schedule
from traces.errors import InputError, TraceError
from traces.trace import Trace

CHEAP = ("timeline", "similarity", "lags", "residuals", "published", "spectra", "age", "roofline")


@pytest.fixture(scope="module")
def traces(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Trace]:
    """Two small runs, of which one kept activations."""
    folder = tmp_path_factory.mktemp("traces")
    job = Job("dit-nano", ranks=2, steps=3)
    return {
        "ring": run_local(schedule("ring"), job, folder / "ring", keep=["kv", "hidden"]),
        "stale": run_local(schedule("distrifusion"), job, folder / "stale"),
    }


def test_figures_of_each_trace_are_told_apart_by_its_label(traces: dict[str, Trace]) -> None:
    """Of one trace alone they need none."""
    alone = {each.name for each in made({"T": traces["ring"]}, ["age", "similarity"])}
    both = {each.name for each in made(traces, ["age", "similarity"])}
    assert alone == {"age", "similarity-k", "similarity-v", "similarity-hidden"}
    assert both == {
        *("age-ring", "age-stale"),
        *("similarity-ring-k", "similarity-ring-v", "similarity-ring-hidden"),
    }


def test_what_does_not_apply_is_named_with_its_reason(traces: dict[str, Trace]) -> None:
    """Nothing is left out silently."""
    found = list(outcomes(Inputs({"T": traces["stale"]})))
    reasons = {each.name: each.why for each in found if isinstance(each, Skipped)}
    drawn = {"timeline", "bandwidth", "breakdown", "critical-path", "age", "roofline"}
    assert {each.name for each in found if isinstance(each, Made)} == drawn
    assert "transfers were free" in reasons["utilisation"]
    assert "give the traces of two or more" in reasons["speedup"]
    assert "record with --keep" in reasons["similarity"]
    assert "thinwire quality --out" in reasons["pareto"]
    assert set(reasons) | drawn == set(FIGURES)


def test_every_made_figure_says_what_it_is_worth(traces: dict[str, Trace]) -> None:
    """In its table and beside it; times that were computed are not measured."""
    kinds = {each.name: each.kind for each in made({"T": traces["ring"]}, CHEAP)}
    assert kinds["timeline"] == "measured compute"
    assert kinds["roofline"] == "predicted"
    assert kinds["lags"] == "measured"
    assert kinds["published"] == "published and measured"
    assert kinds["spectra-k"] == "measured and predicted"


def test_the_command_beside_a_figure_makes_it_again(
    traces: dict[str, Trace], tmp_path: Path
) -> None:
    """The same table, to the last digit."""
    (found,) = made(traces, ["timeline"], str(tmp_path / "again"))
    assert call(shlex.split(found.command)[1:]) == OK
    again = pd.read_csv(tmp_path / "again" / "timeline.csv")
    found.table.to_csv(tmp_path / "timeline.csv", index=False)
    pd.testing.assert_frame_equal(again, pd.read_csv(tmp_path / "timeline.csv"))


@pytest.mark.slow
def test_figures_and_their_tables_are_the_same_bytes_each_time(
    traces: dict[str, Trace], tmp_path: Path
) -> None:
    """However often they are made."""
    folder = str(traces["ring"].folder)
    for out in ("first", "second"):
        options = ["--only", ",".join(CHEAP), "--format", "svg", "--out", str(tmp_path / out)]
        assert call(["figures", folder, *options]) == OK
    first, second = (sorted((tmp_path / out).iterdir()) for out in ("first", "second"))
    assert [path.name for path in first] == [path.name for path in second]
    assert len(first) >= 2 * len(CHEAP)
    for one, other in zip(first, second, strict=True):
        assert one.read_bytes() == other.read_bytes(), one.name


def test_the_command_says_what_it_made_and_what_not(
    traces: dict[str, Trace], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As JSON for machines."""
    folder, out = str(traces["stale"].folder), str(tmp_path)
    only = ["--only", "timeline,lags", "--out", out]
    assert call(["figures", folder, *only, "--json"]) == OK
    said = json.loads(capsys.readouterr().out)
    assert [each["name"] for each in said["figures"]] == ["timeline"]
    assert [each["name"] for each in said["did_not_apply"]] == ["lags"]
    assert {path.name for path in tmp_path.iterdir()} == {"timeline.png", "timeline.csv"}
    assert call(["figures", folder, *only]) == OK
    assert "record with --keep kv,hidden" in " ".join(capsys.readouterr().out.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--only", "timelin"], "did you mean 'timeline'?"),
        (["--only", "lags"], "lags: no activations were kept"),
        (["--quality", "Q.txt"], "must end in .csv or .parquet"),
    ],
)
def test_what_cannot_be_drawn_is_refused(
    arguments: list[str],
    message: str,
    traces: dict[str, Trace],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Where nothing at all of what was asked for applies."""
    out = ["--out", str(tmp_path)]
    assert call(["figures", str(traces["stale"].folder), *arguments, *out]) == BAD_INPUT
    assert message in capsys.readouterr().err


def test_a_damaged_trace_is_no_reason_to_go_on(traces: dict[str, Trace], tmp_path: Path) -> None:
    """It is refused by name, not skipped."""
    kept = run_local(
        schedule("ring"), Job("dit-nano", ranks=2, steps=3), tmp_path / "T", keep=["kv"]
    )
    assert kept.folder is not None
    path = next(kept.folder.glob("rank-0/*.safetensors"))
    path.write_bytes(path.read_bytes()[:100])
    del traces
    with pytest.raises(TraceError, match=path.name):
        list(made({"T": Trace.open(tmp_path / "T")}, ["lags"]))


def test_a_missing_step_is_a_gap_in_the_tables(traces: dict[str, Trace], tmp_path: Path) -> None:
    """Never a zero: neither in a similarity nor in a residual."""
    del traces
    run = run_local(
        schedule("ring"), Job("dit-nano", ranks=2, steps=4), tmp_path / "T", keep=["kv"]
    )
    assert run.folder is not None
    (run.folder / "rank-1" / "step-00002.safetensors").unlink()
    tables = {each.name: each.table for each in made({"T": Trace.open(run.folder)}, CHEAP)}
    similar = tables["similarity-k"].set_index(["layer", "step", "other_step"])["cosine"]
    assert np.isnan(similar.loc[(0, 2, 3)])
    assert similar.loc[(0, 1, 1)] == pytest.approx(1.0)
    residual = tables["residuals"].query("tensor == 'k' and layer == 0").set_index("step")
    assert residual["residual_norm"].isna().tolist() == [True, False, True, True]


def test_figures_refuse_tables_of_something_else() -> None:
    """By the column that is missing, or because nothing is in them."""
    for entry in FIGURES.values():
        with pytest.raises(InputError, match=r"column '\w+' is missing"):
            entry.draw(pd.DataFrame({"x": [1]}))


def test_what_takes_long_is_drawn_of_one_trace(traces: dict[str, Trace], tmp_path: Path) -> None:
    """Of the first that kept anything, and the figure's title says which."""
    run = run_local(schedule("ring"), Job("dit-nano", 2, 3), tmp_path / "U", keep=["hidden"])
    several = {"stale": traces["stale"], "late": run, "ring": traces["ring"]}
    (found,) = made(several, ["staleness"])
    assert (found.name, found.title) == ("staleness-late-hidden", "Error by age: late hidden")
    assert found.command.split()[2] == str(run.folder)
    (skipped,) = outcomes(Inputs({"stale": traces["stale"]}), ["staleness"])
    assert isinstance(skipped, Skipped)


def test_times_of_different_work_are_not_compared(traces: dict[str, Trace], tmp_path: Path) -> None:
    """As in a report; what is drawn of each by itself is drawn."""
    label, trace = next(iter(traces.items()))
    job = Job(trace.run.model, ranks=trace.run.ranks, steps=trace.run.steps + 1)
    other = run_local(schedule("ring"), job, tmp_path / "longer")
    found = list(outcomes(Inputs({label: trace, "longer": other}), ["breakdown", "speedup", "age"]))
    assert [type(each) for each in found] == [Skipped, Skipped, Made, Made]
    assert all("different work" in each.why for each in found if isinstance(each, Skipped))


def test_without_a_trace_or_a_table_there_is_nothing_to_draw(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And with a table alone, what needs a trace says so."""
    assert call(["figures", "--out", str(tmp_path / "F")]) == BAD_INPUT
    assert "name a trace, or a table" in capsys.readouterr().err
    found = list(outcomes(Inputs({}), ["timeline", "breakdown", "bandwidth"]))
    assert [each.why for each in found if isinstance(each, Skipped)] == ["no trace was given"] * 3
