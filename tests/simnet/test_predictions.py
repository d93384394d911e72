"""Predictions of runs that others have published, and the terms that they are made of."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import pytest
from scipy.stats import kendalltau

import simnet
from simnet.cli import BAD_INPUT, OK, call
from simnet.commands.run import suited
from simnet.costs import Roofline, Scaled
from simnet.devices import Device, device
from simnet.drivers.engine import Work, play
from simnet.drivers.observer import Observer
from simnet.drivers.replay import Blob
from simnet.drivers.simulated import simulate
from simnet.job import Job
from simnet.memory import Memory
from simnet.models.presets import preset
from simnet.network.presets import network
from simnet.network.topology import Links
from simnet.ops import Compute, Program, Recv, Send, Transfer, Wait
from simnet.schedules.distrifusion import DistriFusion
from simnet.schedules.named import on_gpu, schedule
from simnet.schedules.single import Single
from traces.summary import summarize

TABLE = Path(simnet.__file__).parent / "validation" / "data" / "compactfusion_latency.csv"
FLUX = ["predict", "--model", "flux.1-dev", "--gpu", "l20", "--dtype", "float16", "--json"]


def predicted(capsys: pytest.CaptureFixture[str], text: str, *options: str) -> dict[str, Any]:
    """What the command prints for a schedule, on 4 ranks, or on the one there is to it."""
    ranks = "1" if text == "single" else "4"
    assert call([*FLUX, "--schedule", text, "--ranks", ranks, *options]) == OK
    printed: dict[str, Any] = json.loads(capsys.readouterr().out)
    return printed


@pytest.mark.slow
@pytest.mark.parametrize(
    ("column", "options", "order"),
    [
        ("l20_s", ["--network", "l20-pcie4"], 0.8),
        ("ethernet_s", ["--network", "shared-bucket-16g", "--single", "28.06s"], 0.8),
    ],
)
def test_compactfusions_latencies_are_predicted_within_a_tenth(
    column: str, options: list[str], order: float, capsys: pytest.CaptureFixture[str]
) -> None:
    """From the GPU, and one rate for each machine; and in nearly the published order."""
    ours: list[float] = []
    theirs: list[float] = []
    with TABLE.open() as file:
        for row in csv.DictReader(file):
            if row[column]:
                ours.append(float(predicted(capsys, row["schedule"], *options)["total_s"]))
                theirs.append(float(row[column]))
    assert ours == pytest.approx(theirs, rel=0.1)
    assert kendalltau(ours, theirs).statistic >= order


def tiny(transfer_share: float) -> Device:
    """A device that launches nothing in no time."""
    return Device(
        name="tiny", flops=1e12, flops_fp32=1e12, memory_bytes_per_s=1e11, launch_s=0,
        source="made up", transfer_share=transfer_share,
    )  # fmt: skip


def test_a_transfer_under_way_takes_its_share_of_the_processor() -> None:
    """While one is, work goes on at 1 - share of its speed; a byte takes a second to leave."""

    def program(transfer: Transfer) -> Program:
        ticket = yield transfer
        yield Compute(float, 4.0)
        yield Wait(ticket)

    two = Blob(2, (2,), "uint8")
    programs = [program(Send("x", two, to=1)), program(Recv("x", two, source=0))]
    link = Links("slow", rate_bps=8.0, latency_s=0.5)

    def half(op: Compute) -> Work:
        return Work(None, "busy", "", op.args[0], transfer_share=0.5)

    rows, _ = play(programs, 0, half, link, Observer())
    computes = {row.rank: row for row in rows if row.kind == "compute"}
    assert computes[0].end_s == pytest.approx(4 + 0.5 * 2.0)
    assert computes[1].end_s == pytest.approx(4 + 0.5 * 2.5)
    assert computes[1].cost_s == computes[1].end_s


def test_a_clock_that_is_far_on_does_not_stop_what_is_caught_up_with() -> None:
    """Where what is left to do is less than the clock can tell, it is done."""
    job = Job("dit-nano", ranks=2, steps=2, device="meta")
    cost, where = Roofline(device("l20")), network("ethernet-1g")
    soon, late = (
        summarize(simulate(DistriFusion(), job, cost, where, outside_s=outside_s))
        for outside_s in (0.0, 1e6)
    )
    assert late.total_s - 1e6 == pytest.approx(soon.total_s, abs=1e-6)


def test_transfers_that_take_no_share_leave_computes_alone() -> None:
    """On one rank there are none."""
    job = Job("dit-tiny", ranks=1, steps=2, device="meta")
    totals = {
        summarize(simulate(Single(), job, Roofline(tiny(share)), network("infinite"))).total_s
        for share in (0.0, 0.5)
    }
    assert len(totals) == 1


def test_what_is_outside_the_steps_comes_on_top_of_every_rank() -> None:
    """As time of the host."""
    job = Job("dit-tiny", ranks=2, steps=2, device="meta")
    cost, where = Roofline(device("l20")), network("pcie-4")
    without = summarize(simulate(DistriFusion(), job, cost, where))
    after = summarize(simulate(DistriFusion(), job, cost, where, outside_s=1.5))
    assert after.total_s == pytest.approx(without.total_s + 1.5)
    assert [rank.host_s for rank in after.ranks] == pytest.approx([1.5, 1.5])


def test_encoding_and_decoding_grow_with_the_text_and_the_picture() -> None:
    """And nothing is known of models that draw classes."""
    small, large = preset("flux.1-dev"), preset("flux.1-dev:width=2048:height=2048")
    text = small.text_tokens * small.encoder_flop
    assert large.outside_flop - text == pytest.approx(4 * (small.outside_flop - text))
    assert preset("dit-xl-2").outside_flop == 0


def test_a_measured_latency_scales_what_is_predicted(capsys: pytest.CaptureFixture[str]) -> None:
    """On one GPU to that latency itself."""
    alone = predicted(capsys, "single", "--network", "infinite", "--single", "100s", "--steps", "2")
    assert alone["total_s"] == pytest.approx(100, rel=1e-6)
    cost = Scaled(Roofline(tiny(0.25)), 3)
    assert cost.transfer_share == 0.25


def test_collectives_are_carried_as_asked(capsys: pytest.CaptureFixture[str]) -> None:
    """At half the efficiency a synchronous gather is waited for twice as long."""
    where = ["--network", "ethernet-1g", "--steps", "2"]
    whole = predicted(capsys, "patch", *where, "--collectives", "gloo")
    half = predicted(capsys, "patch", *where, "--collectives", "gloo,all_gather@0.5")
    assert half["exposed_s"] == pytest.approx(2 * whole["exposed_s"], rel=0.01)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--collectives", "glue"], "did you mean 'gloo'"),
        (["--single", "0s"], "more than no time"),
        (["--single", "23"], "no unit"),
        (["--single", "-1s"], "time '-1s' must be finite and not negative"),
        (["--schedule", "usp:ulysses=2:ulysses=4"], "ulysses is given twice"),
        (["--codec", "lowrank:rank=99999"], "'k' in a layer, 1152 x 3072 in float16; use rank=837"),
        (["--codec", ""], "unknown codec ''"),
        (["--codec", "residual-3bit"], "did you mean 'residual-"),
        (["--schedule", "tensor", "--codec", "1bit"], "tensor takes no codec"),
        (["--schedule", "ring/2bit", "--codec", "1bit"], "leave --codec out"),
    ],
)
def test_what_makes_no_sense_is_refused(
    options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """With the reason."""
    assert call([*FLUX, "--network", "infinite", "--ranks", "4", *options]) == BAD_INPUT
    assert message in capsys.readouterr().err


def test_memory_is_of_weights_and_of_what_is_kept() -> None:
    """FLUX.1-dev: 23.8 GB in 16 bit, less where layers are shared out; 3.05 GB of bases."""
    job = Job("flux.1-dev:text=256", ranks=4, steps=28, dtype="float16", device="meta")
    ring = Memory.of(schedule("ring/residual-1bit"), job, 24e9)
    assert ring.weights_bytes[0] == pytest.approx(23.8e9, rel=0.01)
    assert ring.kept_bytes == (2 * 57 * 4352 * 3072 * 2,) * 4
    assert not ring.fits
    assert str(ring).startswith("memory of each rank: 23.8 GB of weights, 3.05 GB kept from step")
    assert str(ring).endswith(
        "without activations, text encoder and decoder; does not fit in 24.0 GB"
    )
    for text in ("tensor", "pipefusion"):
        shared = Memory.of(schedule(text), job, 24e9)
        assert max(shared.weights_bytes) < 0.5 * ring.weights_bytes[0]
        assert shared.fits
    halves = Memory.of(schedule("cfg+tensor"), Job("sd3-medium", ranks=4, device="meta"))
    assert halves.device_bytes == float("inf")
    assert len(halves.weights_bytes) == 4


def test_memory_in_words_is_that_of_the_rank_with_the_largest_sum() -> None:
    """Not the most weights of one rank beside what another one keeps."""
    memory = Memory(weights_bytes=(30, 10, 25), kept_bytes=(5, 30, 20), device_bytes=44)
    assert str(memory) == (
        "memory of rank 2, which has most: 25 B of weights, 20 B kept from step to step, "
        "without activations, text encoder and decoder; does not fit in 44 B"
    )
    assert (memory.most_bytes, memory.fits) == (45, False)


def test_codecs_are_fused_on_gpus_and_nowhere_else(capsys: pytest.CaptureFixture[str]) -> None:
    """In what is predicted, and in what is run live."""
    coded = schedule("cfg+ring/residual-1bit")
    assert suited(coded, "cpu") == coded
    assert suited(coded, "cuda") == on_gpu(coded) != coded
    job, eager = Job("dit-nano", ranks=4, steps=4, dtype="float16"), schedule("ring/residual-1bit")
    for gpu in ("l20", "cpu-core"):
        command = ["predict", "--model", "dit-nano", "--steps", "4", "--dtype", "float16"]
        where = ["--gpu", gpu, "--network", "infinite", "--codec", "residual-1bit", "--json"]
        assert call([*command, *where]) == OK
        asked = json.loads(capsys.readouterr().out)["compute_s"]
        plain, fused = (
            summarize(simulate(each, job, Roofline(device(gpu)), network("infinite"))).compute_s
            for each in (eager, on_gpu(eager))
        )
        assert fused < plain
        assert asked == (plain if gpu == "cpu-core" else fused)
