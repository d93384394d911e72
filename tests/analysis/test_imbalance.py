"""Uneven loads: what is planted is found, and costs what arithmetic says."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
import pytest
from numpy.typing import NDArray

from analysis.imbalance import dispatch_times, imbalance
from simnet.network.topology import Links
from simnet.schedules.expert.placement import Placement
from traces.errors import InputError
from traces.trace import Trace

Record = Callable[..., Trace]
Kept = Mapping[str, NDArray[np.float32]]
TOKENS = 16
WIRE = Links("wire", 8e6)  # 1 MB/s, without latency
#: Of a row of dit-moe-nano, whose tokens are 48 numbers, in float32.
ROW_BYTES = 48 * 4


def evenly(rank: int, step: int) -> Kept:
    """Every expert by as many tokens."""
    del rank, step
    first = np.arange(TOKENS) % 8
    return {"chosen/0": np.stack([first, (first + 1) % 8], axis=1).astype(np.float32)}


def all_to_two(rank: int, step: int) -> Kept:
    """All tokens want experts 1 and 3, which rank 1 of two has where they are strided."""
    del rank, step
    return {"chosen/0": np.tile([1, 3], (TOKENS, 1)).astype(np.float32)}


def moe(record: Record, keep: Callable[[int, int], Kept], ranks: int = 2) -> Trace:
    """Two steps of a small model with 8 experts."""
    return record(keep, ranks=ranks, steps=2, model="dit-moe-nano")


def test_even_choices_are_balanced(record: Record) -> None:
    """Largest over mean is 1, of experts and of ranks, and nothing is slower than even parts."""
    even = moe(record, evenly)
    found = imbalance(even)
    assert (found["expert"] == 1).all()
    assert (found["rank"] == 1).all()
    assert (dispatch_times(even, WIRE)["slowdown"] == 1).all()


def test_planted_imbalance_is_found_and_costs_what_its_bytes_take(record: Record) -> None:
    """Two of 8 experts have all: 4 times the mean; one of two ranks has all, 2 times.

    Rank 0's 32 rows all cross to rank 1, where half of them would; rank 1's go nowhere.
    """
    uneven = moe(record, all_to_two)
    found = imbalance(uneven)
    assert (found["expert"] == 4).all()
    assert (found["rank"] == 2).all()
    assert (imbalance(uneven, Placement("blocked"))["rank"] == 2).all()
    times = dispatch_times(uneven, WIRE)
    assert times["captured_s"].to_numpy() == pytest.approx(32 * ROW_BYTES / 1e6)
    assert times["even_s"].to_numpy() == pytest.approx(16 * ROW_BYTES / 1e6)
    assert times["slowdown"].to_numpy() == pytest.approx(2)
    assert times.attrs["evidence"] == "predicted"


def test_where_nothing_is_sent_there_is_no_slowdown(record: Record) -> None:
    """A single rank has all experts: no time, and no ratio of nothing."""
    times = dispatch_times(moe(record, evenly, ranks=1), WIRE)
    assert (times["captured_s"] == 0).all()
    assert np.isnan(times["slowdown"]).all()


def test_a_lost_step_has_no_imbalance(record: Record) -> None:
    """NaN where a rank's choices are missing, for what it sent is not known."""

    def holes(rank: int, step: int) -> Kept:
        return {} if (rank, step) == (1, 0) else evenly(rank, step)

    partial = moe(record, holes)
    found, times = imbalance(partial), dispatch_times(partial, WIRE)
    for values in (found["expert"], found["rank"], times["captured_s"]):
        np.testing.assert_array_equal(np.isnan(values.to_numpy()), [[True, False]])
    assert "step 0: no choices kept by rank 1" in times.attrs["gaps"]


def test_ranks_that_cannot_share_the_experts_are_refused(record: Record) -> None:
    """With both numbers."""
    with pytest.raises(InputError, match="8 experts, which 3 ranks cannot share"):
        imbalance(moe(record, evenly, ranks=3))
