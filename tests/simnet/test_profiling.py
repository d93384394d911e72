"""Calls measured one by one predict the runs that make them."""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from simnet.cli import BAD_INPUT, INTERRUPTED, OK, call
from simnet.costs import MeasuredCosts
from simnet.drivers.local import run_local
from simnet.drivers.simulated import simulate
from simnet.job import Job
from simnet.network.presets import NETWORKS
from simnet.profiles import Cost, read
from simnet.profiling import session
from simnet.profiling.calls import Wanted, calls
from simnet.profiling.samples import Samples
from simnet.profiling.session import Plan, Session
from simnet.profiling.timing import cost, measured
from simnet.schedules.named import schedule
from traces.errors import InputError

FREE = NETWORKS["infinite"]
NANO = ("profile", "--model", "dit-nano", "--device", "cpu", "--threads", "1", "--repeats", "3")


def counted(wanted: Sequence[Wanted]) -> list[Cost]:
    """Costs of these calls without measuring: the n-th takes n seconds."""
    return [cost(each, [float(n)] * 3) for n, each in enumerate(wanted, start=1)]


@pytest.mark.parametrize(
    ("model", "text", "ranks"),
    [
        ("dit-nano", "single", 1),
        ("dit-nano", "ring/residual-1bit", 4),
        ("dit-nano", "usp:ulysses=2", 4),
        ("mmdit-tiny", "ulysses/residual2-2bit", 3),
        ("mmdit-tiny", "tensor", 4),
        ("crossdit-tiny", "cfg+patch/int4", 4),
        ("skipdit-tiny", "pipefusion", 3),
        ("skipdit-tiny", "distrifusion/lowrank:rank=4", 2),
    ],
)
def test_what_is_measured_is_all_that_a_prediction_asks_for(
    model: str, text: str, ranks: int
) -> None:
    """Every call of the run has a cost, by kind of block, and every sample can be called."""
    job, chosen = Job(model, ranks=ranks, steps=4), schedule(text)
    wanted = list(calls([chosen], job))
    samples = Samples("cpu", cache_bytes=1)
    with torch.inference_mode():
        for each in sorted(wanted, key=lambda wanted: wanted.kind):
            samples(each)[0]()
    trace = simulate(chosen, job, MeasuredCosts("counted", counted(wanted)), FREE)
    asked = trace.ops[trace.ops["kind"] == "compute"]
    assert set(zip(asked["name"], asked["shape"], strict=True)) == {
        (each.name, each.shape) for each in wanted
    }
    assert set(asked["cost_s"]) == {float(n) for n in range(1, len(wanted) + 1)}


def test_blocks_of_two_kinds_have_costs_of_their_own() -> None:
    """FLUX's double and single blocks are called alike and take unlike times."""
    job = Job("mmdit-tiny", ranks=2, steps=1)
    wanted = [each for each in calls([schedule("ring")], job) if each.name == "finish"]
    double, single = sorted(wanted, key=lambda each: each.kind)
    assert [double.kind, single.kind] == ["JointBlock Stream", "SingleBlock"]
    both = list(calls([schedule("ring")], job))
    costs = [cost(each, [10.0 if each.kind == "SingleBlock" else 1.0] * 3) for each in both]
    ops = simulate(schedule("ring"), job, MeasuredCosts("two", costs), FREE).ops
    finish = ops[(ops["name"] == "finish") & (ops["rank"] == 0)]
    assert list(finish["cost_s"]) == [1.0, 1.0, 10.0, 10.0]


def test_samples_are_like_the_arguments_of_a_run() -> None:
    """Of the same shapes, types and strides, views among them."""
    for each in calls([schedule("ulysses/residual-1bit")], Job("dit-nano", ranks=2, steps=2)):
        run = Samples("cpu", cache_bytes=1)(each)[0]
        args = inspect.getclosurevars(run).nonlocals["args"]
        for real, meta in zip(args, each.op.args, strict=True):
            if isinstance(meta, torch.Tensor):
                assert (real.shape, real.dtype) == (meta.shape, meta.dtype)
                assert each.name.startswith("decode") or real.stride() == meta.stride()


def test_weights_take_turns_so_that_no_cache_holds_them() -> None:
    """Small blocks have many copies, which differ."""
    finish = next(each for each in calls([schedule("single")], Job("dit-nano")) if each.kind)
    first, second, *others = Samples("cpu")(finish)
    assert len(others) > 10
    blocks = [inspect.getclosurevars(bound).nonlocals["fn"].__self__ for bound in (first, second)]
    assert not torch.equal(*(block.image.qkv.weight for block in blocks))


def test_times_are_measured() -> None:
    """Medians lie between the minimum and what cannot be, and repeats are counted."""
    costs = list(measured(list(calls([schedule("single")], Job("dit-nano"))), "cpu", 5))
    assert {cost.count for cost in costs} == {5}
    assert all(0 < cost.minimum_s <= cost.median_s < 1 for cost in costs)


def test_a_profile_and_a_recorded_run_cost_the_same_calls(tmp_path: Path) -> None:
    """The local driver's trace has the names and shapes of the profile, no others."""
    job = Job("dit-nano", ranks=2, steps=2)
    trace = run_local(schedule("ring"), job, tmp_path / "T")
    recorded = MeasuredCosts.from_trace(trace).table()
    wanted = calls([schedule("ring")], job)
    assert {(each.name, each.shape) for each in wanted} == set(
        zip(recorded["name"], recorded["shape"], strict=True)
    )


def test_runs_that_cannot_be_are_left_out_and_named() -> None:
    """The others are measured."""
    told: list[str] = []
    plan = Plan(["single", "ring"], [1, 2], Job("dit-nano", steps=1))
    assert {each.name for each in plan.wanted(told.append)} >= {"project", "attend_more"}
    assert told == ["single on 2 ranks: single: 2 ranks, expected 1; other schedules share"]


def test_where_no_run_can_be_the_reasons_are_said() -> None:
    """An empty profile would help nobody."""
    with pytest.raises(InputError, match="none of these runs can be: single on 3 ranks: single"):
        Plan(["single"], [3], Job("dit-nano")).wanted(print)


def test_experts_are_refused() -> None:
    """How many rows they get is not known beforehand."""
    with pytest.raises(InputError, match="record a run, and profile its trace"):
        list(calls([schedule("expert")], Job("dit-moe-nano", ranks=2)))


@pytest.fixture
def instant(monkeypatch: pytest.MonkeyPatch) -> list[Wanted]:
    """Measures nothing, and notes what it was asked for; the third call is interrupted."""
    asked: list[Wanted] = []

    def measured(wanted: Sequence[Wanted], *_: Any) -> Iterator[Cost]:
        for each in wanted:
            if len(asked) == 3:
                asked.clear()
                raise KeyboardInterrupt
            asked.append(each)
            yield cost(each, [1.0] * 3)

    monkeypatch.setattr(session, "measured", measured)
    return asked


def test_what_was_interrupted_goes_on_where_it_was(
    instant: list[Wanted], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What had been measured is on disk, and is not measured again."""
    out = tmp_path / "p.json"
    arguments = [*NANO, "--ranks", "1", "--out", str(out)]
    assert call(arguments) == INTERRUPTED
    assert "p.json has 3 of 7 calls; the same command measures the rest" in capsys.readouterr().err
    first = read(out).costs
    assert len(first) == 3
    instant.clear()
    assert call(arguments) == INTERRUPTED
    assert {each.key for each in instant}.isdisjoint(cost.key for cost in first)
    assert call(arguments) == OK
    assert len(read(out).costs) == 7


def test_costs_of_another_device_are_not_mixed_in(tmp_path: Path) -> None:
    """A file is of one device."""
    path = tmp_path / "p.json"
    begun = Session.begin("this", {}, path)
    wanted = list(calls([schedule("single")], Job("dit-nano")))[:1]
    assert len(list(begun.measure(wanted, "cpu", 3))) == 1
    assert Session.begin("this", {}, path).missing(wanted) == []
    with pytest.raises(InputError, match="holds costs of 'this', these would be of 'that'"):
        Session.begin("that", {}, path)
    assert Session.begin("that", {}, path, anew=True).costs == {}


def test_a_missing_call_names_the_command_that_measures_it(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Run as it is printed, it makes the prediction possible."""
    monkeypatch.chdir(tmp_path)
    predict = ["predict", "--model", "dit-nano", "--dtype", "float32", "--steps", "2"]
    predict += ["--ranks", "2", "--costs", "p.json", "--network", "ethernet-1g"]
    assert call([*NANO, "--schedules", "single", "--ranks", "1", "--out", "p.json"]) == OK
    capsys.readouterr()
    assert call(predict) == BAD_INPUT
    _, _, command = capsys.readouterr().err.strip().partition("measure them: thinwire ")
    assert command == (
        "profile --model dit-nano --schedules ring --ranks 2 --dtype float32 --device cpu "
        "--threads 1 --out p.json"
    )
    assert call(command.split()) == OK
    assert call(predict) == OK
    assert read(tmp_path / "p.json").made["command"].count(" && ") == 1


@pytest.mark.parametrize(
    ("more", "complaint"),
    [
        ([], "give a TRACE or --model NAME"),
        (["T", "--model", "dit-nano"], "give a TRACE or --model NAME"),
        (["T", "--ranks", "2"], "other options go with --model"),
        (["--model", "dit-nano", "--ranks", "two"], "expected such as ring,ulysses and 1,2,4"),
        (["--model", "dit-nano", "--repeats", "2"], "--repeats is 2, expected 3 or more"),
        (["--model", "dit-nano", "--schedules", "rung"], "did you mean 'ring'"),
    ],
)
def test_what_makes_no_sense_is_refused(
    more: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Before anything is measured."""
    assert call(["profile", *more]) == BAD_INPUT
    assert complaint in capsys.readouterr().err


def test_the_number_of_steps_changes_no_call(tmp_path: Path) -> None:
    """What was looked at for a few steps serves runs of many."""
    del tmp_path
    chosen, job = schedule("ring/residual-1bit"), Job("dit-nano", ranks=2, steps=3)
    few, many = (list(calls([chosen], replace(job, steps=steps))) for steps in (3, 9))
    assert {each.key for each in few} == {each.key for each in many}
