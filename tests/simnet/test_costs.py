"""Costs of calls, by the roofline and as measured."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from simnet.costs import Call, CostModel, Free, MeasuredCosts, Roofline
from simnet.counting import Kernel, count
from simnet.devices import Device, device
from simnet.models.dit import build
from simnet.models.presets import preset
from traces.errors import InputError
from traces.operation import Operation, table
from traces.run import Run
from traces.trace import Trace

#: 10 FLOP/s in 16 bit, 5 in 32, 100 bytes/s, a second to launch: sums to be done in the head.
SLOW = Device(
    name="slow", flops=10, flops_fp32=5, memory_bytes_per_s=100, launch_s=1, source="made up"
)
RUN = Run("dit-nano", "ring", 2, 3, "local", "cpu", "measured")


def call(*kernels: Kernel, dtype: str = "bfloat16") -> Call:
    """A call of these kernels."""
    return Call("finish", "1x2:bfloat16", kernels, dtype)


def trace_of(*rows: tuple[str, str, float], kind: str = "compute") -> Trace:
    """A trace of one rank that computed so: (name, shape, seconds)."""
    operations = [
        Operation(0, seq, "compute", kind, name, 0, 0, float(seq), seq + 1.0, seconds, shape=shape)
        for seq, (name, shape, seconds) in enumerate(rows)
    ]
    return Trace(RUN, table(operations))


MEASURED = trace_of(
    ("attend", "1x8:float32", 90.0),  # warming up
    ("attend", "1x8:float32", 1.0),
    ("finish", "1x8:float32", 0.5),
    ("attend", "1x8:float32", 2.0),
    ("attend", "1x8:float32", 4.0),
    ("attend", "1x8:float32", 3.0),
    ("attend", "1x16:float32", 7.0),
)


@pytest.mark.parametrize(
    ("kernel", "dtype", "seconds"),
    [
        (Kernel("mm", 200, 100), "bfloat16", 20 + 1),  # bound by arithmetic
        (Kernel("mm", 200, 100), "float16", 20 + 1),
        (Kernel("mm", 200, 100), "float32", 40 + 1),
        (Kernel("add", 0, 300), "bfloat16", 3 + 1),  # bound by memory
    ],
)
def test_a_kernel_takes_what_its_tighter_bound_says(
    kernel: Kernel, dtype: str, seconds: float
) -> None:
    """Arithmetic or memory, whichever is longer, and the launch."""
    assert Roofline(SLOW).seconds(call(kernel, dtype=dtype)) == seconds


KERNELS = st.builds(Kernel, st.just("k"), st.integers(0, 10**15), st.integers(0, 10**12))


@given(st.lists(KERNELS), st.lists(KERNELS))
def test_kernels_run_one_after_the_other(one: list[Kernel], other: list[Kernel]) -> None:
    """A call's time is the sum of its parts', and nothing for a call of views."""
    costs = Roofline(device("a100-sxm"))
    together = costs.seconds(call(*one, *other))
    assert together == pytest.approx(costs.seconds(call(*one)) + costs.seconds(call(*other)))
    assert costs.seconds(call()) == 0


@given(KERNELS, st.floats(1, 100))
def test_a_faster_device_never_takes_longer(kernel: Kernel, factor: float) -> None:
    """Raising any rate lowers the time or leaves it."""
    h20 = device("h20")
    before = Roofline(h20).seconds(call(kernel))
    for faster in (
        replace(h20, flops=h20.flops * factor),
        replace(h20, memory_bytes_per_s=h20.memory_bytes_per_s * factor),
        replace(h20, launch_s=h20.launch_s / factor),
    ):
        assert Roofline(faster).seconds(call(kernel)) <= before


@pytest.mark.parametrize(
    ("gpu", "peak_flops", "share", "tolerance"),
    [
        # FLUX.1-dev at 1024 px: FLOP over published time, as a share of the dense peak; the best
        # implementation published for that GPU, which on the last two is a compiled one.
        ("l20", 119.5e12, 0.74, 0.05),
        ("l40", 181.05e12, 0.63, 0.05),
        ("a100-sxm", 312e12, 0.67, 0.16),
        ("h100-sxm", 989e12, 0.49, 0.32),
    ],
)
def test_the_roofline_of_a_large_model_is_near_the_best_that_was_seen(
    gpu: str, peak_flops: float, share: float, tolerance: float
) -> None:
    """It is close on the slower GPUs, and too fast by up to a third on the faster ones."""
    shape = preset("flux-shaped")
    model = build(shape, 0, torch.bfloat16, "meta")
    x = torch.empty(1, shape.tokens, shape.channels, dtype=torch.bfloat16, device="meta")
    args = x, torch.ones(1, device="meta"), torch.zeros(1, dtype=torch.long, device="meta")
    _, kernels = count(model, args)
    flops = sum(k.flop for k in kernels) / Roofline(device(gpu)).seconds(call(*kernels))
    assert flops / peak_flops == pytest.approx(share, rel=tolerance)


def test_free_costs_nothing() -> None:
    """A dry run's calls take no time, whatever they do."""
    assert Free().seconds(call(Kernel("mm", 10**18, 10**12))) == 0


def test_cost_models_are_named_after_what_their_times_are_of() -> None:
    """The name becomes the trace's device."""
    models: list[CostModel] = [Free(), Roofline(SLOW), MeasuredCosts.from_trace(MEASURED)]
    assert [model.name for model in models] == ["free", "slow (roofline)", "cpu"]


def seconds(costs: MeasuredCosts, name: str, shape: str) -> float:
    """What a call of this name and shape costs."""
    return costs.seconds(Call(name, shape, (), "float32"))


def test_measured_costs_are_medians_by_name_and_shape() -> None:
    """A slow first call does not count; other shapes and names are kept apart."""
    costs = MeasuredCosts.from_trace(MEASURED)
    assert seconds(costs, "attend", "1x8:float32") == 3.0
    assert seconds(costs, "attend", "1x16:float32") == 7.0
    assert seconds(costs, "finish", "1x8:float32") == 0.5


def test_layers_of_two_kinds_come_out_right_together() -> None:
    """FLUX's double and single blocks are called alike: a median over both would be one's."""
    rows = [
        Operation(0, n, "compute", "compute", "finish", n // 3, n % 3, n, n + 1.0) for n in range(9)
    ]
    for row in rows:
        row.cost_s = 1.0 if row.layer < 2 else 10.0
    assert seconds(MeasuredCosts.from_trace(Trace(RUN, table(rows))), "finish", "") == 12 / 3


def test_the_table_shows_spread_minimum_and_count() -> None:
    """Quartiles of 1, 2, 3, 4 and 90 are 2 and 4."""
    rows = MeasuredCosts.from_trace(MEASURED).table().to_dict("records")
    assert {
        "name": "attend",
        "shape": "1x8:float32",
        "median_s": 3.0,
        "spread_s": 2.0,
        "minimum_s": 1.0,
        "count": 5,
        "kind": "",
    } in rows
    assert len(rows) == 3


def test_a_shape_that_was_not_measured_is_named_with_the_nearest() -> None:
    """The message has the call, the nearest shape and what to do."""
    costs = MeasuredCosts.from_trace(MEASURED)
    with pytest.raises(
        InputError,
        match=r"on 'cpu' lack attend\(1x17:float32\): of 'attend' they have 2 other shapes, "
        r"the nearest 1x16:float32; measure with the same model",
    ):
        seconds(costs, "attend", "1x17:float32")


def test_a_call_that_was_not_measured_is_named_with_those_that_were() -> None:
    """The message lists the names that there are."""
    costs = MeasuredCosts.from_trace(MEASURED)
    with pytest.raises(InputError, match=r"lack head\(1x8:float32\): they have attend, finish;"):
        seconds(costs, "head", "1x8:float32")


def test_a_trace_that_computes_nothing_has_no_costs() -> None:
    """Learning from waits alone would be learning nothing."""
    with pytest.raises(InputError, match="has no compute times to learn costs from"):
        MeasuredCosts.from_trace(trace_of(("kv", "1x8:float32", math.nan), kind="wait"))


@pytest.mark.parametrize("value", [-1.0, math.inf])
def test_impossible_times_in_a_trace_are_named(value: float) -> None:
    """The message has the rank and the row."""
    trace = trace_of(("head", "", 2.0), ("finish", "", value))
    with pytest.raises(InputError, match=rf"rank 0: row 1: cost_s is {value}; expected a time"):
        MeasuredCosts.from_trace(trace)


def test_a_profile_gives_the_same_costs_as_its_trace(tmp_path: Path) -> None:
    """Saved and opened again, nothing is lost."""
    costs = MeasuredCosts.from_trace(MEASURED)
    costs.save(tmp_path / "profile.json")
    opened = MeasuredCosts.open(tmp_path / "profile.json")
    assert opened.name == costs.name
    assert opened.table().equals(costs.table())


def test_a_folder_is_opened_as_a_trace(tmp_path: Path) -> None:
    """A trace on disk will do instead of a profile."""
    MEASURED.save(tmp_path / "trace")
    opened = MeasuredCosts.open(tmp_path / "trace")
    assert opened.table().equals(MeasuredCosts.from_trace(MEASURED).table())
