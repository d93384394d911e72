"""Points are what single predictions are, whichever evaluator made them and on what process."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr

from simnet.cli import BAD_INPUT, OK, call
from simnet.sweep.case import facts
from simnet.sweep.design import Design
from simnet.sweep.points import Task, compute, simulated, vectorised
from simnet.sweep.reading import read
from simnet.sweep.store import IMPOSSIBLE, REFUSED, VECTORISED
from traces.errors import RunError

Sweeping = Callable[..., dict[str, Any]]

AXES = """
[axes]
models = "dit-nano"
schedules = ["ring", "patch", "ulysses", "distrifusion", "pipefusion", "tensor", "single"]
codecs = ["none", "residual-1bit"]
ranks = [1, 4, 5]
steps = 2
gpus = ["l20", "cpu-core"]
bandwidths = { from = "100Mbit/s", to = "100Gbit/s", points = 3 }
latencies = ["50us", "1ms"]
"""


def predicted(capsys: pytest.CaptureFixture[str], row: pd.Series[Any]) -> dict[str, Any]:
    """What `thinwire predict` says of a point."""
    codec = [] if row["codec"] == "none" else ["--codec", row["codec"]]
    capsys.readouterr()
    arguments = ["predict", "--model", row["model"], "--schedule", row["schedule"], *codec]
    arguments += ["--ranks", str(row["ranks"]), "--steps", str(row["steps"]), "--gpu", row["gpu"]]
    if row["network"] == "links":
        rate, latency = row["bandwidth_bps"], row["latency_s"]
        arguments += ["--rate", f"{rate!r}bit/s", "--latency", f"{latency!r}s"]
    else:
        arguments += ["--network", row["network"]]
    if row["jitter_s"]:
        arguments += ["--jitter", f"{row['jitter_s']!r}s", "--conditions-seed", str(row["seed"])]
    assert call([*arguments, "--json"]) == OK
    printed: dict[str, Any] = json.loads(capsys.readouterr().out)
    return printed


def test_both_evaluators_agree_wherever_both_apply(tmp_path: Path) -> None:
    """To 1e-9, in all three times."""
    path = tmp_path / "both.toml"
    path.write_text(AXES.replace('["l20", "cpu-core"]', '"l20"'))
    design = Design(read(path))
    compared = 0
    for group in design.groups():
        if facts(group.case).reason is not None:
            continue
        task = Task("", group.case, group.settings, design.by_digest, discrete=False)
        fast, slow = vectorised(task).rows, simulated(task).rows
        there = fast["evaluator"] == VECTORISED
        assert set(fast["evaluator"][~there]) <= {REFUSED}
        for name in ("total_s", "compute_s", "exposed_s"):
            np.testing.assert_allclose(fast[name][there], slow[name][there], rtol=1e-9, atol=1e-15)
        compared += int(there.sum())
    assert compared > 50


def test_a_worker_of_another_version_is_refused(tmp_path: Path) -> None:
    """Its results would be taken for this version's."""
    path = tmp_path / "one.toml"
    path.write_text(AXES.replace("[1, 4, 5]", "4"))
    design = Design(read(path))
    group = next(design.groups())
    task = Task(group.case.key, group.case, group.settings, design.by_digest, discrete=False)
    assert len(compute(task).points.rows) == len(group.settings)
    with pytest.raises(RunError, match="a worker has another version"):
        compute(task._replace(key="another"))


@pytest.mark.slow
def test_a_point_is_what_predict_says(
    sweeping: Sweeping, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Times, bytes on the wire and memory, of schedules, codecs, GPUs, networks and jitter."""
    networks = 'networks = ["hosts-of-4-ethernet-10g", "wifi-6", "l20-pcie4"]\n'
    jitters = 'jitters = ["0s", "1ms"]\nseeds = 3\n'
    texts = {"rates": AXES, "networks": "\n".join(AXES.splitlines()[:-2]) + "\n" + networks}
    for name, text in texts.items():
        few = text.replace("[1, 4, 5]", "4").replace('["l20", "cpu-core"]', '"l20"')
        sweeping(few + jitters, "--out", str(tmp_path / name))
        table = pd.read_parquet(tmp_path / name / "points.parquet")
        ran = table[table["total_s"].notna()].sample(8, random_state=0)
        for _, row in ran.iterrows():
            alone = predicted(capsys, row)
            for column in ("total_s", "compute_s", "exposed_s"):
                assert row[column] == pytest.approx(alone[column], rel=1e-9, abs=1e-15)
            assert row["wire_bytes"] == alone["wire_bytes"]
            memory = alone["memory"]
            most = max(map(sum, zip(memory["weights_bytes"], memory["kept_bytes"], strict=True)))
            assert row["memory_bytes"] == most


def test_what_cannot_run_is_a_row_with_the_reason(sweeping: Sweeping, tmp_path: Path) -> None:
    """Ranks, heads, codecs, memory, and places of a network."""
    text = AXES.replace('["l20", "cpu-core"]', '"l20"').replace("[1, 4, 5]", "[4, 5]")
    summary = sweeping(text, "--out", str(tmp_path / "out"))
    table = pd.read_parquet(tmp_path / "out" / "points.parquet")
    reasons = table.groupby(["schedule", "codec", "ranks"], observed=True)["reason"].first()

    assert len(table) == summary["points"] == 7 * 2 * 2 * 6
    assert "cannot share evenly" in reasons["tensor", "none", 5]
    assert "tokens, which 5 ranks cannot split" in reasons["ring", "none", 5]
    assert "takes no codec" in reasons["tensor", "residual-1bit", 4]
    lacking = table["total_s"].isna()
    assert lacking.tolist() == table["reason"].notna().tolist()
    assert table.loc[lacking, "evaluator"].unique().tolist() == ["none"]
    assert summary["cannot_run"] == lacking.sum() == sum(summary["reasons"].values())


def test_what_does_not_fit_into_memory_is_not_run(sweeping: Sweeping, tmp_path: Path) -> None:
    """Its bytes are there, and how much the GPU has."""
    text = '[axes]\nmodels = "flux.1-dev"\nschedules = "ring"\nsteps = 1\n'
    text += 'gpus = "t4"\nnetworks = ["pcie-4"]\n'
    sweeping(text, "--out", str(tmp_path / "out"))
    (row,) = pd.read_parquet(tmp_path / "out" / "points.parquet").to_dict("records")

    assert row["fits"] is False
    assert row["memory_bytes"] > 16e9
    assert row["reason"].startswith("out of memory: a rank needs 23.8 GB at least, of which t4 has")


def test_a_network_with_too_few_places_is_a_reason(sweeping: Sweeping, tmp_path: Path) -> None:
    """Of that network alone."""
    text = AXES.replace("[1, 4, 5]", "6").split("bandwidths")[0]
    sweeping(text + 'networks = ["l20-pcie4", "pcie-4"]\n', "--out", str(tmp_path / "out"))
    table = pd.read_parquet(tmp_path / "out" / "points.parquet")
    ring = table[(table["schedule"] == "ring") & (table["gpu"] == "l20")]

    assert ring["total_s"].notna().tolist() == [False, True] * 2
    assert IMPOSSIBLE == 3
    assert "4" in ring["reason"].iloc[0]


def test_a_profile_is_a_processor(
    sweeping: Sweeping, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What it was not measured for is a reason."""
    run = ["run", "--model", "dit-nano", "--schedule", "ring", "--ranks", "2", "--steps", "2"]
    assert call([*run, "--driver", "local", "--out", str(tmp_path / "T")]) == OK
    assert call(["profile", str(tmp_path / "T"), "--out", str(tmp_path / "p.json")]) == OK
    text = AXES.replace('["l20", "cpu-core"]', '"p.json"').replace("[1, 4, 5]", "[2, 4]")
    text += 'dtypes = "float32"\n'
    sweeping(text, "--out", str(tmp_path / "out"))
    table = pd.read_parquet(tmp_path / "out" / "points.parquet")
    ring = table[(table["schedule"] == "ring") & (table["codec"] == "none")]
    two, four = ring[ring["ranks"] == 2], ring[ring["ranks"] == 4]

    assert two["total_s"].notna().all()
    assert four["reason"].str.contains("lack").all()
    expected = ["predict", "--model", "dit-nano", "--costs", str(tmp_path / "p.json"), "--ranks"]
    expected += ["2", "--steps", "2", "--dtype", "float32", "--rate", "100Mbit/s"]
    capsys.readouterr()
    assert call([*expected, "--latency", "50us", "--json"]) == OK
    alone = json.loads(capsys.readouterr().out)
    assert two["total_s"].iloc[0] == pytest.approx(alone["total_s"], rel=1e-9)


def test_the_arrays_have_named_dimensions_and_units(sweeping: Sweeping, tmp_path: Path) -> None:
    """And hold what the rows do."""
    sweeping(AXES, "--out", str(tmp_path / "out"))
    table = pd.read_parquet(tmp_path / "out" / "points.parquet")
    with xr.open_dataset(tmp_path / "out" / "points.nc", engine="scipy") as made:
        total_s = made["total_s"].load()
        assert total_s.dims == (
            *("schedule", "codec", "ranks", "gpu"),
            *("bandwidth_bps", "latency_s"),
        )
        assert made["wire_bytes"].dims == ("schedule", "codec", "ranks", "gpu")
        units = {name: made[name].attrs.get("units") for name in ("total_s", "wire_bytes")}
        assert units == {"total_s": "s", "wire_bytes": "byte"}
        assert made["bandwidth_bps"].attrs["units"] == "bit/s"
        assert made.attrs["evidence"] == "predicted"
        assert total_s.to_numpy().ravel().tolist() == pytest.approx(
            table.sort_values("point")["total_s"].tolist(), nan_ok=True
        )
        at = {"schedule": "ring", "codec": "none", "ranks": 4, "gpu": "l20"}
        picked = total_s.sel(at).sel(bandwidth_bps=1e11, latency_s=1e-3).item()
    row = table[(table["bandwidth_bps"] == 1e11) & (table["latency_s"] == 1e-3)]
    row = row[(row[list(at)] == pd.Series(at)).all(axis=1)]
    assert row["total_s"].item() == picked


@pytest.mark.parametrize("sample", ["random", "sobol"])
def test_a_sample_has_one_dimension_of_points(
    sample: str, sweeping: Sweeping, tmp_path: Path
) -> None:
    """Names are numbers, whose meaning is beside them."""
    head = f'[sweep]\nsample = "{sample}"\npoints = 50\nseed = 1\n'
    text = AXES.replace(", points = 3", "").replace("[1, 4, 5]", "[2, 4]")
    summary = sweeping(head + text, "--out", str(tmp_path / "out"))
    table = pd.read_parquet(tmp_path / "out" / "points.parquet").sort_values("point")
    with xr.open_dataset(tmp_path / "out" / "points.nc", engine="scipy") as made:
        assert made["total_s"].dims == ("point",)
        names = made["schedule"].attrs["flag_meanings"].split()
        assert [names[n] for n in made["schedule"].to_numpy()] == table["schedule"].tolist()
        assert made["bandwidth_bps"].to_numpy().tolist() == table["bandwidth_bps"].tolist()

    assert table["point"].tolist() == list(range(50))
    assert table["bandwidth_bps"].nunique() == 50
    assert sum(line["points"] for line in summary["best"]) == 50


@pytest.mark.slow
def test_the_same_file_gives_the_same_bytes_on_any_number_of_processes(
    sweeping: Sweeping, tmp_path: Path
) -> None:
    """Each from nothing; jitter included."""
    text = AXES.replace("[1, 4, 5]", "4").replace('["l20", "cpu-core"]', '"l20"')
    text = text.replace('"pipefusion", "tensor", "single"', '"tensor"')
    text += 'jitters = ["0s", "1ms"]\n'
    for jobs in ("1", "2"):
        into = tmp_path / f"cache-{jobs}"
        sweeping(text, "--jobs", jobs, "--out", str(tmp_path / jobs), into=into)

    for name in ("points.parquet", "points.nc", "sweep.toml"):
        assert len({(tmp_path / jobs / name).read_bytes() for jobs in "12"}) == 1


def test_what_was_drawn_for_a_choice_stands_in_one_line(sweeping: Sweeping) -> None:
    """A warm-up that a schedule does not have makes no other choice of it."""
    head = '[sweep]\nsample = "random"\npoints = 40\n'
    text = AXES.replace(", points = 3", "").replace("[1, 4, 5]", "4").replace(', "patch"', "")
    text = text.replace('"pipefusion", "tensor", "single"', '"patch"') + "warmups = [1, 2]\n"
    lines = sweeping(head + text.replace('["none", "residual-1bit"]', '"none"'))["best"]

    warm = [f"distrifusion:warmup_steps={steps}" for steps in (1, 2)]
    assert [line["choice"] for line in lines] == ["ring", "ulysses", *warm, "patch"]
    assert sum(line["points"] for line in lines) == 40


def test_the_fastest_is_named_by_bandwidth(sweeping: Sweeping, tmp_path: Path) -> None:
    """At each what the rows say, neighbours with one winner together."""
    text = AXES.replace("[1, 4, 5]", "4").replace('["50us", "1ms"]', '"50us"')
    summary = sweeping(text.replace("= 3", "= 12"), "--out", str(tmp_path / "out"))
    table = pd.read_parquet(tmp_path / "out" / "points.parquet")
    for (gpu, rate_bps), rows in table.groupby(["gpu", "bandwidth_bps"], observed=True):
        fastest = rows.sort_values("total_s").iloc[0]
        codec = "" if fastest["codec"] == "none" else f"/{fastest['codec']}"
        (line,) = [
            line
            for line in summary["best"]
            if line["given"]["gpu"] == gpu and line["from_bps"] <= rate_bps <= line["to_bps"]
        ]
        assert line["choice"] == fastest["schedule"] + codec
    assert summary["best"][0]["from_s"] > summary["best"][0]["to_s"]


@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        (["--jobs", "0"], "--jobs is 0, expected 1 or more"),
        (["--jobs", "2", "--scheduler", "tcp://127.0.0.1:9"], "--jobs is of this machine"),
        (["--out", "small.toml/x"], "cannot be written"),
        (["--figure", "x.gif"], "the name must end in"),
    ],
)
def test_options_that_will_not_do_are_refused(
    options: list[str], complaint: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line on stderr."""
    path = tmp_path / "small.toml"
    path.write_text(AXES)
    options = [str(tmp_path / each) if each.startswith("small") else each for each in options]
    assert call(["sweep", str(path), "--cache", str(tmp_path / "c"), *options]) == BAD_INPUT
    assert complaint in capsys.readouterr().err


def test_the_figure_has_a_line_for_each_schedule_and_codec(
    sweeping: Sweeping, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """And is refused where nothing goes across, or too much is to be drawn."""
    few = AXES.replace("[1, 4, 5]", "4").replace('["50us", "1ms"]', '"50us"')
    few = few.replace('["l20", "cpu-core"]', '"l20"').replace('"tensor", "single"', '"tensor"')
    figure = tmp_path / "drawn.svg"
    sweeping(few, "--figure", str(figure))
    drawn = figure.read_text()
    assert "<svg" in drawn

    for text, complaint in ((AXES, "has room for 12"), (few.replace("= 3", "= 2"), "")):
        (tmp_path / "small.toml").write_text(text)
        arguments = [str(tmp_path / "small.toml"), "--cache", str(tmp_path / "cache")]
        code = call(["sweep", *arguments, "--jobs", "1", "--figure", str(figure)])
        assert (code == BAD_INPUT) == bool(complaint)
        assert complaint in capsys.readouterr().err
