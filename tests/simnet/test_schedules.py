"""Every schedule against what it claims, and against a reference that knows nothing of ranks."""

from __future__ import annotations

from itertools import accumulate
from pathlib import Path

import numpy as np
import pytest
import torch

from analysis.staleness import age_map
from simnet.costs import Roofline
from simnet.devices import device
from simnet.drivers.local import run_local
from simnet.drivers.simulated import simulate
from simnet.job import Job
from simnet.network.presets import network
from simnet.schedules.base import Schedule
from simnet.schedules.distrifusion import DistriFusion
from simnet.schedules.named import SCHEDULES, schedule, spec
from simnet.schedules.ring import RingAttention
from traces.errors import InputError
from traces.trace import Trace

ALL = [RingAttention(), DistriFusion(), DistriFusion(warmup_steps=3), DistriFusion(warmup_steps=9)]


def output(trace: Trace) -> torch.Tensor:
    """The denoised latent of a run that kept it, (1, T, C)."""
    patches = trace.activations("latent").isel(step=-1, layer=0).to_numpy()
    return torch.from_numpy(np.concatenate(patches, axis=1))


def single_device(job: Job) -> torch.Tensor:
    """The same by the whole model on the whole latent."""
    x = job.latent
    with torch.inference_mode():
        for step in range(job.steps):
            x = job.advance(x, job.model(x, job.time(step), job.label))
    return x


def one_step_stale(job: Job, warmup_steps: int) -> torch.Tensor:
    """DistriFusion without ranks: all keys and values of the last step, each patch's own fresh."""
    model, size = job.model, job.preset.tokens // job.ranks
    patches = [job.patch(rank) for rank in range(job.ranks)]
    xs = [x for x, _ in patches]
    stale: dict[int, torch.Tensor] = {}
    with torch.inference_mode():
        for step in range(job.steps):
            c = model.condition(job.time(step), job.label)
            hs = [model.embed(x, at) for x, (_, at) in zip(xs, patches, strict=True)]
            for block in model.blocks:
                projected = [block.project(h, c) for h in hs]
                fresh = torch.cat([kv for _, kv, _ in projected], dim=-2)
                used = fresh if step < warmup_steps else stale[block.layer]
                for rank, (q, kv, gates) in enumerate(projected):
                    seen = used.clone()
                    seen[..., rank * size : (rank + 1) * size, :] = kv
                    out, _ = block.attend(q, seen)
                    hs[rank] = block.finish(hs[rank], gates, out)
                stale[block.layer] = fresh
            xs = [job.advance(x, model.head(h, c)) for x, h in zip(xs, hs, strict=True)]
    return torch.cat(xs, dim=1)


@pytest.mark.parametrize("ranks", [1, 2, 3, 4, 6, 8])
def test_ring_attention_equals_the_single_device(ranks: int, tmp_path: Path) -> None:
    """For every rank count that divides the tokens, up to rounding."""
    job = Job("dit-nano", ranks=ranks, steps=3)
    trace = run_local(RingAttention(), job, tmp_path / "t", keep=["latent"])
    torch.testing.assert_close(output(trace), single_device(job), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("warmup_steps", [1, 2])
@pytest.mark.parametrize("ranks", [1, 2, 4])
def test_distrifusion_uses_the_keys_and_values_of_exactly_one_step_ago(
    ranks: int, warmup_steps: int, tmp_path: Path
) -> None:
    """Its output is that of a reference that is one step stale after the warm-up."""
    job = Job("dit-nano", ranks=ranks, steps=4)
    chosen = DistriFusion(warmup_steps=warmup_steps)
    trace = run_local(chosen, job, tmp_path / "t", keep=["latent"])
    expected = one_step_stale(job, warmup_steps)
    torch.testing.assert_close(output(trace), expected, rtol=1e-4, atol=1e-5)
    if ranks > 1:  # and staleness does make a difference
        assert not torch.allclose(output(trace), single_device(job), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("chosen", ALL, ids=spec)
@pytest.mark.parametrize("ranks", [2, 4])
def test_schedules_do_what_they_claim(chosen: Schedule, ranks: int) -> None:
    """The trace has the claimed volume on each rank, and the claimed age in each step."""
    job = Job("dit-nano", ranks=ranks, steps=5)
    trace = simulate(chosen, job, Roofline(device("l20")), network("ethernet-1g"))
    claims = chosen.claims(job)
    assert trace.ops.groupby("rank")["wire_bytes"].sum().tolist() == list(claims.wire_bytes)
    ages = age_map(trace, "kv")
    assert ages.sizes == {"rank": ranks, "step": 5, "layer": job.preset.layers}
    for step, age in enumerate(claims.ages):
        assert (ages.isel(step=step) == age).all()


@pytest.mark.parametrize("chosen", ALL, ids=spec)
def test_on_an_infinite_network_a_run_takes_its_compute_alone(chosen: Schedule) -> None:
    """To the bit, on every rank."""
    trace = simulate(chosen, Job("dit-nano", 4, 5), Roofline(device("l20")), network("infinite"))
    for _, rows in trace.ops.groupby("rank"):
        *_, compute_s = accumulate(rows["cost_s"].dropna())  # in order, as a clock adds them up
        assert rows["end_s"].max() == compute_s


@pytest.mark.parametrize("chosen", ALL, ids=spec)
def test_a_schedule_can_be_written_down_and_read_back(chosen: Schedule) -> None:
    """Its spec holds every parameter."""
    assert schedule(spec(chosen)) == chosen


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
    ],
)
def test_a_schedule_that_is_not_understood_is_refused(text: str, message: str) -> None:
    """With the part at fault and the nearest that would do."""
    with pytest.raises(InputError, match=message):
        schedule(text)


def test_distrifusion_without_warm_up_is_refused() -> None:
    """There would be nothing to be stale."""
    with pytest.raises(InputError, match="warmup_steps is 0"):
        DistriFusion(warmup_steps=0).check(Job("dit-nano", 2))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"ranks": 5}, "48 tokens, which 5 ranks cannot split"),
        ({"ranks": 0}, "ranks is 0"),
        ({"steps": 0}, "steps is 0"),
        ({"dtype": "int8"}, "dtype is 'int8'"),
        ({"model_name": "dit-nono"}, "did you mean 'dit-nano'"),
    ],
)
def test_a_job_that_cannot_be_split_is_refused(fields: dict[str, object], message: str) -> None:
    """With what would do instead."""
    with pytest.raises(InputError, match=message):
        Job(**({"model_name": "dit-nano"} | fields))  # type: ignore[arg-type]
