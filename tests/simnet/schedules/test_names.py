"""Schedules by name, what is refused, and the lists of what there is."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest

from simnet.cli import OK, call
from simnet.codecs.named import CODECS, codec
from simnet.job import Job
from simnet.schedules.named import SCHEDULES, schedule, spec
from traces.errors import InputError

TEXTS = (
    "single",
    "ring",
    "ring/residual-1bit",
    "usp:ulysses=4/lowrank-int4:rank=4",
    "distrifusion:warmup_steps=3:layers=2/residual2-2bit:decay=0.25",
    "pipefusion:patches=6",
    "tensor",
    "cfg+ulysses",
    "cfg+usp:ulysses=2/residual-1bit",
    "data:images=3+cfg+patch/residual-int8:error_feedback=0",
)


@pytest.mark.parametrize("text", TEXTS)
def test_a_schedule_can_be_written_down_and_read_back(text: str) -> None:
    """Its spec holds every parameter, also of the schedule inside it and of its codec."""
    chosen = schedule(text)
    assert schedule(spec(chosen)) == chosen
    for part in text.replace("/", "+").split("+"):
        assert all(word in spec(chosen) for word in part.split(":"))


def test_every_schedule_has_a_name_and_says_where_it_is_from() -> None:
    """As `thinwire list schedules` prints it."""
    for name, kind in SCHEDULES.items():
        assert kind.name == name
        assert "20" in (kind.__doc__ or "").splitlines()[0]  # a year


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rin", "did you mean 'ring'"),
        ("distrifusion:warmup=2", "did you mean 'warmup_steps'"),
        ("distrifusion:warmup_steps=two", "expected an integer"),
        ("distrifusion:warmup_steps", "expected an integer"),
        ("ring:hops=3", "unknown parameter of ring 'hops'"),
        ("ring/residual-1bti", "did you mean 'residual-1bit'"),
        ("cfg", r"schedule 'cfg' goes around another, which follows it: cfg\+ring"),
        ("data:images=4", r"which follows it: data:images=4\+ring"),
        ("ring+cfg", r"schedule 'cfg' goes around another, which follows it: cfg\+ring"),
        ("ring+ulysses", "'ring' goes around no other, .* only cfg and data stand before others"),
        ("cgf+ring", "did you mean 'cfg'"),
        ("usp:ulysses=2:ulysses=4", "usp: ulysses is given twice, as '2' and '4'; leave one out"),
        ("data:images=2:images=2+ring", "data: images is given twice"),
        ("ring/1bit:warmup_steps=1:warmup_steps=2", "1bit: warmup_steps is given twice"),
        ("ring/", "schedule 'ring/' has no codec after its slash"),
        ("cfg+ring/", "or leave the slash out"),
    ],
)
def test_a_schedule_that_is_not_understood_is_refused(text: str, message: str) -> None:
    """With the part at fault and the nearest that would do."""
    with pytest.raises(InputError, match=message):
        schedule(text)


@pytest.mark.parametrize(
    ("text", "model", "ranks", "message"),
    [
        ("single", "dit-nano", 2, "2 ranks, expected 1"),
        ("distrifusion:warmup_steps=0", "dit-nano", 2, "warmup_steps is 0, expected 1 or more"),
        ("distrifusion:layers=0", "dit-nano", 2, "layers is 0, expected 1 or more"),
        ("ulysses", "dit-nano", 8, "12 heads, which 8 ranks cannot share.*1, 2, 3, 4, 6, 12 ranks"),
        ("usp:ulysses=3", "dit-nano", 4, "ulysses is 3, expected a number that divides 4 ranks"),
        ("usp:ulysses=0", "dit-nano", 4, "ulysses is 0"),
        ("usp:ulysses=8", "dit-nano", 8, "12 heads, which 8 ranks cannot share"),
        ("pipefusion", "dit-nano", 4, "2 layers, too few for 4 ranks; use 2 or fewer"),
        ("pipefusion:patches=5", "dit-nano", 2, "patches is 5; .*48 tokens .*: try patches=4"),
        ("pipefusion:patches=-1", "dit-nano", 2, "patches is -1; expected .*: try patches=1"),
        (
            "pipefusion",
            "skipdit-tiny",
            5,
            "patches is 5, one for each rank; expected .*48 tokens of skipdit-tiny: try patches=4",
        ),
        ("pipefusion:warmup_steps=0", "dit-nano", 2, "warmup_steps is 0, expected 1 or more"),
        ("tensor", "dit-nano", 8, "12 heads, which 8 ranks cannot share"),
        ("cfg+ring", "dit-nano", 2, "a step of dit-nano is one forward"),
        ("cfg+ring", "crossdit-tiny", 3, "3 ranks have no two halves"),
        ("cfg+cfg+ring", "crossdit-tiny", 4, "another cfg around this one .*; write cfg once"),
        ("cfg+data+cfg+ring", "crossdit-tiny", 8, "write cfg once"),
        ("cfg+pipefusion:patches=5", "crossdit-tiny", 4, "patches is 5"),
        ("data:images=3+ring", "dit-nano", 4, "images is 3, expected a number that divides 4"),
        ("data:images=0+ring", "dit-nano", 4, "images is 0"),
        ("data+cfg+ring", "crossdit-tiny", 2, "1 ranks have no two halves"),
        ("ring", "dit-nano", 5, "48 tokens, which 5 ranks cannot split"),
        ("distrifusion", "dit-nano", 5, "48 tokens, which 5 ranks cannot split"),
        ("cfg+patch", "crossdit-tiny", 10, "48 tokens, which 5 ranks cannot split"),
        ("usp:ulysses=4/1bit", "dit-nano", 4, "no ring to code for"),
    ],
)
def test_a_job_that_a_schedule_cannot_run_is_refused(
    text: str, model: str, ranks: int, message: str
) -> None:
    """Before anything is done, with what would do."""
    with pytest.raises(InputError, match=message):
        schedule(text).check(Job(model, ranks))


@pytest.mark.parametrize(
    ("text", "setting", "shape"),
    [
        ("ring/lowrank", "rank=99999", "'k' in a layer, 24 x 96 in bfloat16"),
        ("patch/residual-lowrank:error_feedback=0", "rank=90", "'k' in a layer, 24 x 96"),
        ("distrifusion/residual2-sparse", "m=1", "'k' in a layer, 24 x 96"),
        ("usp/residual-lowrank", "rank=32", "'k' in a layer, 48 x 48"),
        ("ulysses/sparse", "m=1", "'q' in a layer, 24 x 24"),
        ("cfg+ring/lowrank", "rank=24", "'k' in a layer, 24 x 96"),
        ("pipefusion/sparse", "m=1", "'hidden' in a layer, 24 x 96"),
    ],
)
def test_a_codec_that_makes_more_of_a_layer_than_there_is_is_refused(
    text: str, setting: str, shape: str
) -> None:
    """Where the layer's shape is known, and with the parameter that will just do."""
    job = Job("crossdit-tiny", 4, dtype="bfloat16")
    with pytest.raises(InputError) as refused:
        schedule(f"{text}:{setting}").check(job)
    assert shape in str(refused.value)
    told = re.search(r"; use (rank|m)=(\d+) or (less|more)$", str(refused.value))
    assert told
    parameter, value, way = told[1], int(told[2]), told[3]
    schedule(f"{text}:{parameter}={value}").check(job)
    beyond = value + 1 if way == "less" else value // 2
    with pytest.raises(InputError, match=r"makes .* of the"):
        schedule(f"{text}:{parameter}={beyond}").check(job)


def test_where_no_parameter_helps_raw_is_what_does() -> None:
    """Of a single token, scales of each channel are more than the token."""
    with pytest.raises(InputError, match="'hidden' in a layer, 1 x 96 in float16; send it raw"):
        schedule("pipefusion:patches=48/fp8").check(Job("dit-nano", 2, dtype="float16"))
    schedule("pipefusion:patches=48/residual-raw").check(Job("dit-nano", 2, dtype="float16"))


@pytest.mark.parametrize(
    "text", ["ring", "ulysses", "usp", "usp:ulysses=4", "patch", "distrifusion", "pipefusion"]
)
def test_one_rank_may_have_any_schedule_and_any_codec(text: str) -> None:
    """It shares with nobody, and sends nothing that could be too large."""
    for coded in ("", "/sparse:m=1", "/residual-1bit"):
        schedule(text + coded).check(Job("dit-nano", 1, dtype="float16"))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"ranks": 0}, "ranks is 0"),
        ({"steps": 0}, "steps is 0"),
        ({"dtype": "int8"}, "dtype is 'int8'"),
        ({"model_name": "dit-nono"}, "did you mean 'dit-nano'"),
    ],
)
def test_a_job_that_makes_no_sense_is_refused(fields: dict[str, object], message: str) -> None:
    """With what would do instead."""
    with pytest.raises(InputError, match=message):
        Job(**({"model_name": "dit-nano"} | fields))  # type: ignore[arg-type]


def listed(capsys: pytest.CaptureFixture[str], what: str) -> dict[str, dict[str, Any]]:
    """What `thinwire list` has, by name; every name stands in the printed table too."""
    assert call(["list", what, "--json"]) == OK
    entries = {entry["name"]: entry for entry in json.loads(capsys.readouterr().out)}
    assert call(["list", what]) == OK
    table = capsys.readouterr().out
    assert all(name in table for name in entries)
    return entries


def test_schedules_are_listed_with_their_papers(capsys: pytest.CaptureFixture[str]) -> None:
    """And what they can be told, and why they take no codec if they do not."""
    entries = listed(capsys, "schedules")
    assert set(entries) == set(SCHEDULES)
    assert entries["pipefusion"]["parameters"] == {"patches": 0, "warmup_steps": 1}
    assert "PipeFusion: Patch-level Pipeline Parallelism" in entries["pipefusion"]["paper"]
    without = {name for name, entry in entries.items() if entry["codec"].startswith("none")}
    assert without == {"single", "tensor"}
    assert entries["dice"]["codec"] == "residual-NAME, for pairs that both ends know"
    assert entries["tensor"]["codec"].endswith("no code of the sum")


def test_codecs_are_listed_with_their_ratios(capsys: pytest.CaptureFixture[str]) -> None:
    """How many times smaller they make FLUX.1-dev's keys in 16 bits (CompactFusion's figures)."""
    entries = listed(capsys, "codecs")
    assert set(entries) == set(CODECS)
    ratios = {name: round(entry["ratio"], 2) for name, entry in entries.items()}
    assert ratios["1bit"] == 15.69
    assert ratios["2bit"] == 7.92
    assert ratios["lowrank-int4"] == 100.05
    assert ratios["raw"] == 1
    assert entries["lowrank"]["parameters"] == {"rank": 32}
    assert "arXiv 2507.17511" in entries["1bit"]["paper"]


def test_the_list_of_codecs_says_what_prefixes_stand_for(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """And what there is to set with each; every combination of them is a codec."""
    entries = listed(capsys, "codecs")
    for name, entry in entries.items():
        for prefix, settings in entry["prefixes"].items():
            told = "".join(f":{key}={value}" for key, value in settings.items())
            assert codec(prefix + name + told) == codec(prefix + name)
    assert call(["list", "codecs"]) == OK
    table = " ".join(capsys.readouterr().out.split())
    assert "residual-NAME codes their change from step to step: error_feedback=1," in table
    assert "residual2-NAME codes the change of that: decay=0.5, warmup_steps=2" in table
