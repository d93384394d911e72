"""The table of processors."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from simnet.devices import DEVICES, device
from traces.errors import InputError


def test_every_device_is_found_under_its_name() -> None:
    """Looking up a device gives the one of that name, and each says where its rate is from."""
    for name in DEVICES:
        assert device(name).name == name
        assert device(name).source


def test_half_precision_is_not_slower_than_single() -> None:
    """Units and columns are in order: tensor cores beat float32, and memory is in bytes."""
    for one in DEVICES.values():
        assert one.flops >= one.flops_fp32
        assert 1e9 < one.memory_bytes_per_s < 1e13


def test_names_are_known_without_dashes_and_in_capitals() -> None:
    """As people write them."""
    assert device("rtx4090") is device("RTX-4090") is DEVICES["rtx-4090"]
    assert device("a100sxm") is DEVICES["a100-sxm"]


def test_every_processor_but_the_core_of_a_server_is_a_gpu() -> None:
    """Which only those are that launch kernels."""
    assert {name for name, one in DEVICES.items() if not one.is_gpu} == {"cpu-core"}
    assert all(one.transfer_share > 0 for one in DEVICES.values() if one.is_gpu)


@pytest.mark.parametrize("name", DEVICES)
def test_rates_lie_in_their_ranges(name: str) -> None:
    """And ranges are wide: what a model reaches depends on it."""
    one = DEVICES[name]
    assert one.flops_range
    assert one.memory_range
    low, high = one.flops_range
    assert low <= one.flops <= high < 5 * low
    low, high = one.memory_range
    assert low <= one.memory_bytes_per_s <= high


@pytest.mark.parametrize("field", ["flops_range", "memory_range"])
@pytest.mark.parametrize("values", [(2.0, 1.0), (0.0, 1e15), (1.0, math.inf), (math.nan, 1.0)])
def test_ranges_that_are_no_ranges_are_refused(field: str, values: tuple[float, float]) -> None:
    """Upside down, from zero, without an end, undefined."""
    changes: dict[str, Any] = {field: values}
    with pytest.raises(InputError, match=f"device 'h200': {field} is .*, expected two rates"):
        replace(device("h200"), **changes)


def test_an_unknown_device_is_answered_with_the_nearest() -> None:
    """A misspelt name gets a suggestion and the list."""
    with pytest.raises(InputError, match=r"unknown device 'h100-smx': did you mean 'h100-sxm'"):
        device("h100-smx")


@pytest.mark.parametrize("field", ["flops", "flops_fp32", "memory_bytes_per_s"])
@pytest.mark.parametrize("value", [0.0, -1.0, float("nan"), float("inf")])
def test_rates_that_are_no_rates_are_refused(field: str, value: float) -> None:
    """Zero, negative, infinite and undefined rates would give times that are no times."""
    changes: dict[str, Any] = {field: value}
    with pytest.raises(InputError, match=f"device 'h200': {field} is {value}, expected more than"):
        replace(device("h200"), **changes)


@pytest.mark.parametrize("value", [-1e-6, float("nan"), float("inf")])
def test_launch_times_that_are_no_times_are_refused(value: float) -> None:
    """Only zero and more seconds will do."""
    with pytest.raises(InputError, match=f"launch_s is {value}, expected a time from 0 s up"):
        replace(device("h200"), launch_s=value)
