"""Compute times of somebody's program, carried over to schedules that it was not recorded with."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from simnet.cli import BAD_INPUT, OK, call
from simnet.costs import Call, Roofline
from simnet.devices import device
from simnet.drivers.simulated import simulate
from simnet.job import Job
from simnet.models.presets import preset
from simnet.network.presets import NETWORKS
from simnet.recognition.carried import (
    carry_over,
    is_attention,
    of_another_program,
    projection_share,
    recorded_part,
)
from simnet.schedules.named import schedule
from traces.errors import InputError
from traces.trace import Trace

Strip = Callable[..., Trace]
MODEL = "flux.1-dev:layers=3:single=1"
JOB = Job(MODEL, 4, steps=3, dtype="bfloat16")
OTHERS = ("ring", "ulysses", "patch", "tensor")


class Truth:
    """A device that is no roofline: attention is slow, and every call takes some time besides."""

    name = "NVIDIA L20"
    transfer_share = 0.0

    def seconds(self, call: Call) -> float:
        """Twice the time for attention, 1.3 times that for others, and 20 us for each call."""
        kernels_s = 0.0
        for kernel in call.kernels:
            alone_s = Roofline(device("l20")).seconds(call._replace(kernels=(kernel,)))
            kernels_s += alone_s * (2.0 if is_attention(call, kernel) else 1.3)
        return kernels_s + 20e-6


@cache
def truly(spec: str) -> Trace:
    """What the device takes for a schedule; no transfer takes any time."""
    return simulate(schedule(spec), JOB, Truth(), NETWORKS["infinite"])


def seen(stripped: Strip, spec: str, names: Callable[[str], str]) -> Trace:
    """The same, recorded by somebody who calls modules by these names."""
    whole = truly(spec)
    trace = stripped(whole)
    run = replace(trace.run, model="DiTTransformer2DModel")
    return Trace(run, trace.ops.assign(name=whole.ops["name"].map(names)))


def told_apart(name: str) -> str:
    """Attention kernels have rows of their own."""
    return "aten::scaled_dot_product_attention" if name.startswith("attend") else "mm"


@pytest.mark.parametrize("spec", OTHERS)
@pytest.mark.parametrize("other", OTHERS)
def test_other_schedules_are_predicted_within_five_percent(
    stripped: Strip, spec: str, other: str
) -> None:
    """Where the device is one that the assumption does not quite hold for; its own comes back."""
    cost = carry_over(seen(stripped, spec, told_apart), MODEL)
    predicted = simulate(schedule(other), JOB, cost, NETWORKS["infinite"])
    expected_s = recorded_part(truly(other)).total_s
    error = recorded_part(predicted).total_s / expected_s - 1
    assert abs(error) < (1e-9 if other == spec else 0.05)


def test_the_factors_are_those_of_the_device(stripped: Strip) -> None:
    """But for what each call takes besides."""
    cost = carry_over(seen(stripped, "ulysses", told_apart), MODEL)
    assert cost.device.name == "l20"
    assert cost.attention == pytest.approx(2.0, rel=0.1)
    assert cost.rest == pytest.approx(1.3, rel=0.1)
    assert cost.name.startswith("NVIDIA L20 (carried over: roofline of l20, attention x 2.")


def test_rows_that_do_not_tell_attention_apart_give_one_factor(stripped: Strip) -> None:
    """And the recorded total all the same."""
    recording = seen(stripped, "ring", lambda _: "block")
    cost = carry_over(recording, MODEL)
    assert cost.attention == cost.rest
    again = recorded_part(simulate(schedule("ring"), JOB, cost, NETWORKS["infinite"]))
    assert again.total_s == pytest.approx(recorded_part(recording).total_s)


def test_an_attention_module_has_the_projections_in_it(stripped: Strip) -> None:
    """A third of a block's products but attention's own; that much is not attention's."""
    assert projection_share(preset(MODEL)) == pytest.approx(4 / 12)

    def module(name: str) -> str:
        return "blocks.attn" if name in {"attend", "project"} else "blocks"

    cost = carry_over(seen(stripped, "ulysses", module), MODEL)
    assert cost.attention != cost.rest
    for other in OTHERS:
        predicted = simulate(schedule(other), JOB, cost, NETWORKS["infinite"])
        expected_s = recorded_part(truly(other)).total_s
        assert recorded_part(predicted).total_s == pytest.approx(expected_s, rel=0.1)


def test_what_cannot_be_falls_back_to_one_factor(stripped: Strip) -> None:
    """Attention modules that take less than their projections alone should."""
    cost = carry_over(seen(stripped, "ulysses", lambda n: "attn" if n == "attend" else "x"), MODEL)
    assert cost.attention == cost.rest


def test_only_what_is_recognised_is_carried_over(stripped: Strip) -> None:
    """And only to its own model."""
    recording = seen(stripped, "patch", told_apart)
    with pytest.raises(InputError, match="the recording does not fit dit-tiny; name its model"):
        carry_over(recording, "dit-tiny")
    known = stripped(
        simulate(schedule("ring"), Job("dit-nano", 2, 2), Truth(), NETWORKS["infinite"])
    )
    with pytest.raises(InputError, match="looks like one of dit-nano, not dit-tiny"):
        carry_over(known, "dit-tiny")
    odd = recording.ops.assign(kind=recording.ops["kind"].replace("all_gather", "reduce_scatter"))
    with pytest.raises(InputError, match="from a schedule that is known:\nschedule: not recogn"):
        carry_over(Trace(recording.run, odd), MODEL)
    less = recording.ops.assign(wire_bytes=recording.ops["wire_bytes"] // 2)
    with pytest.raises(InputError, match="the recording does not fit flux"):
        carry_over(Trace(recording.run, less), MODEL)


def test_recordings_of_our_schedules_are_told_from_others(stripped: Strip) -> None:
    """Also when they have been replayed."""
    ours = truly("ring")
    assert not of_another_program(ours)
    assert not of_another_program(Trace(replace(ours.run, driver="replayed"), ours.ops))
    others = stripped(ours)
    assert of_another_program(others)
    assert of_another_program(Trace(replace(others.run, driver="replayed"), others.ops))


def test_predict_takes_a_recorded_program_as_costs(
    stripped: Strip, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the time of its host; it has to be told the model."""
    recording = seen(stripped, "patch", told_apart)
    late = recording.ops["host_s"].mask(recording.ops["seq"] == 0, 0.3)
    Trace(recording.run, recording.ops.assign(host_s=late)).save(tmp_path / "t")
    words = ["predict", "--costs", str(tmp_path / "t"), "--schedule", "ulysses", "--steps", "3"]
    words += ["--network", "infinite", "--json"]
    assert call([*words, "--model", MODEL]) == OK
    told = json.loads(capsys.readouterr().out)
    assert "carried over" in told["device"]
    assert told["host_s"] == pytest.approx(0.3)
    assert told["total_s"] == pytest.approx(0.3 + 3 * recorded_part(truly("ulysses")).total_s, 0.05)
    assert call([*words, "--model", "dit-tiny"]) == BAD_INPUT
    assert "name its model" in capsys.readouterr().err
