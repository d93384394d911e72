"""`thinwire plan`: what it prints and writes, its commands and its numbers, what it refuses."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from figures.plan import draw, table
from simnet.cli import BAD_INPUT, OK, call
from traces.errors import InputError

pytestmark = pytest.mark.usefixtures("one_thread")

_SMALL = {
    "model": "mmdit-tiny",
    "gpu": "rtx-4090",
    "ranks": "4",
    "steps": "6",
    "network": "ethernet-1g",
    "schedules": "patch,distrifusion:warmup_steps=2",
    "codecs": "int8",
}


def _plan(**changes: str | None) -> list[str]:
    """The command with these options instead; None leaves one out."""
    options = _SMALL | {name.replace("_", "-"): value for name, value in changes.items()}
    given = [(f"--{name}", value) for name, value in options.items() if value is not None]
    return ["plan", *(text for pair in given for text in pair)]


def _json(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> dict[str, Any]:
    assert call([*arguments, "--json"]) == OK
    found: dict[str, Any] = json.loads(capsys.readouterr().out)
    return found


@pytest.mark.slow
def test_every_line_comes_with_the_command_that_gives_its_number(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Also of teams, whose batch is another."""
    schedules = "data:images=2+distrifusion,usp:ulysses=2,tensor"
    assert call(_plan(batch="2", schedules=schedules, out=str(tmp_path))) == OK
    capsys.readouterr()
    rows = pd.read_parquet(tmp_path / "plan.parquet")
    simulated = rows[rows["latency_s"].notna()].to_dict(orient="records")
    assert len(simulated) > 2
    for line in simulated:
        predicted = _json(shlex.split(line["command"])[1:], capsys)
        assert predicted["total_s"] == pytest.approx(line["latency_s"], rel=1e-9)
        weights, kept = (predicted["memory"][name] for name in ("weights_bytes", "kept_bytes"))
        assert max(map(sum, zip(weights, kept, strict=True))) == line["memory_bytes"]


@pytest.mark.slow
def test_it_writes_all_plans_and_a_figure(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """As CSV and Parquet alike, with what became of each; twice the same bytes."""
    names = ("plan.csv", "plan.parquet", "plan.json", "plan.png")
    for folder in ("A", "B"):
        assert call(_plan(out=str(tmp_path / folder))) == OK
    printed = capsys.readouterr().out
    assert all(
        (tmp_path / "A" / n).read_bytes() == (tmp_path / "B" / n).read_bytes() for n in names
    )
    csv, parquet = (
        pd.read_csv(tmp_path / "A/plan.csv"),
        pd.read_parquet(tmp_path / "A/plan.parquet"),
    )
    assert csv["plan"].tolist() == parquet["plan"].tolist()
    assert set(csv["plan"]) == {
        "patch", "patch/int8", "distrifusion:warmup_steps=2", "distrifusion:warmup_steps=2/int8",
    }  # fmt: skip
    assert csv.loc[csv["status"] == "front", "latency_s"].notna().all()
    assert "run distrifusion:warmup_steps=2 (predicted)" in printed
    assert "measured on dit-fashion, 4 ranks, 4 steps" in printed
    assert "links twice as fast (1.88 Gbit/s)" in printed
    assert "4 plans looked at" in printed


def test_upgrades_and_break_even_are_in_the_json(capsys: pytest.CaptureFixture[str]) -> None:
    """With rates in bits per second, and the plan that is the fastest then."""
    found = _json(_plan(), capsys)
    assert [upgrade["what"] for upgrade in found["upgrades"]][:2] == [
        "links twice as fast (1.88 Gbit/s)",
        "half the latency",
    ]
    assert sum(found["counts"].values()) == 4
    for crossing in found["break_even"]["pairs"]:
        assert 9e6 < crossing["rate_bps"] < 1e11


def test_more_gpus_are_not_sold_where_they_make_nothing_faster(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Two GPUs of an image each cannot share two images out over four."""
    lone = _plan(ranks="2", batch="2", schedules="data:images=2+single,tensor", codecs="none")
    found = _json(lone, capsys)
    assert found["front"][0]["plan"] == "data:images=2+single"
    assert [upgrade["what"] for upgrade in found["upgrades"]] == [
        "links twice as fast (1.88 Gbit/s)",
        "half the latency",
    ]


def test_a_single_gpu_runs_alone(capsys: pytest.CaptureFixture[str]) -> None:
    """There is nothing to share, and no link to make faster."""
    found = _json(_plan(ranks="1", schedules=None, codecs=None), capsys)
    assert [line["plan"] for line in found["front"]] == ["single"]
    assert found["break_even"] == {"codecs": [], "pairs": []}


def test_experts_are_planned_for(capsys: pytest.CaptureFixture[str]) -> None:
    """Images of all ranks together; qualities of the trained mixture of experts."""
    experts = _plan(
        model="dit-moe-nano",
        ranks="2",
        batch="2",
        steps="20",
        network=None,
        rate="1Gbit/s",
        schedules="expert,interweaved,dice",
        codecs="none",
    )
    found = _json(experts, capsys)
    assert {line["batch"] for line in found["front"]} == {1}
    sources = {line["quality_source"] for line in found["front"]}
    assert sources == {"measured on dit-moe-tiny, 4 ranks, 20 steps"}
    assert "--rate 1Gbit/s" in found["front"][0]["command"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"max_memory": "1kB"}, "do not fit in memory (least is"),
        ({"min_quality": "90", "schedules": "distrifusion"}, "below the quality asked for"),
        ({"min_quality": "nan"}, "--min-quality is nan"),
        ({"quality": "nowhere.csv"}, "nowhere.csv: does not exist"),
        ({"max_memory": "20"}, "has no unit"),
        ({"gpu": "l21"}, "unknown device 'l21'"),
        ({"model": "flux.1-def"}, "unknown model 'flux.1-def'"),
        ({"network": "ethernet-2g"}, "unknown network 'ethernet-2g'"),
        ({"schedules": "rind"}, "unknown schedule 'rind'"),
        ({"codecs": "3bit"}, "unknown codec '3bit'"),
        ({"batch": "0"}, "expected 1 image or more"),
        ({"ranks": "5"}, "which 5 ranks cannot split evenly"),
        ({"schedules": "dice", "batch": "4"}, "has no experts"),
        ({"figure": "plan.bmp"}, "must end in"),
    ],
)
def test_what_will_not_do_is_said(
    options: dict[str, str], said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """In one line, with what would."""
    assert call(_plan(**options)) == BAD_INPUT
    assert said in capsys.readouterr().err


def test_a_table_of_something_else_is_not_drawn() -> None:
    """The missing column is named."""
    with pytest.raises(InputError, match="column 'plan' is missing"):
        table(pd.DataFrame({"latency_s": [1.0]}), "A", "dB")
    with pytest.raises(InputError, match="column 'subject' is missing"):
        draw(pd.DataFrame({"latency_s": [1.0]}))
