"""The age of what is used, read off waits and the transfers they wait for."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest

from analysis.staleness import age_map, ages
from traces.errors import InputError
from traces.operation import Operation, table
from traces.run import Run
from traces.trace import Trace


def displaced(rank: int) -> list[Operation]:
    """Three steps of two layers: gather and wait at once in step 0, later for the step before."""
    rows: list[Operation] = []

    def row(stream: str, kind: str, step: int, layer: int, waits_for: int = -1) -> int:
        now_s = float(len(rows))
        rows.append(
            Operation(
                rank,
                len(rows),
                stream,
                kind,
                "kv",
                step,
                layer,
                now_s,
                now_s + 1,
                waits_for=waits_for,
            )
        )
        return len(rows) - 1

    asked: dict[int, int] = {}
    for step in range(3):
        for layer in range(2):
            fresh = row("world", "all_gather", step, layer)
            row("compute", "wait", step, layer, asked.get(layer, fresh))
            asked[layer] = fresh
    return rows


def trace(operations: list[Operation], ranks: int = 2, steps: int = 3) -> Trace:
    """A trace of these operations."""
    run = Run("tiny", "distrifusion", ranks, steps, "simulated", device="toy", network="wire")
    return Trace(run, table(operations))


def test_displaced_patches_are_one_step_old_after_warm_up() -> None:
    """Li et al. 2024: fresh in the synchronous step, then one step old in every layer and rank."""
    ages = age_map(trace(displaced(0) + displaced(1)))

    assert ages.dims == ("rank", "step", "layer")
    np.testing.assert_array_equal(ages, np.broadcast_to([[0], [1], [1]], (2, 3, 2)))


def test_of_several_the_oldest_counts() -> None:
    """A layer that uses a fresh and an old transfer is as old as the old one."""
    operations = [*displaced(0), Operation(0, 12, "compute", "wait", "kv", 2, 1, 12, 13)]
    operations[-1].waits_for = 2  # layer 1 as it was in step 0

    assert age_map(trace(operations, ranks=1)).sel(rank=0, step=2, layer=1).item() == 2


def test_where_nothing_was_waited_for_the_age_is_not_a_number() -> None:
    """Steps and ranks without a wait keep their place in the array."""
    ages = age_map(trace(displaced(0), ranks=2, steps=4))

    assert ages.shape == (2, 4, 2)
    assert math.isnan(ages.sel(rank=0, step=3, layer=0).item())
    assert np.isnan(ages.sel(rank=1)).all()


def test_an_unknown_name_is_refused_with_those_there_are() -> None:
    """The message lists what the ranks wait for."""
    with pytest.raises(InputError, match="named 'hidden': they wait for kv"):
        age_map(trace(displaced(0)), "hidden")


def test_ages_are_those_of_all_transfers_of_all_ranks() -> None:
    """By the name of what was waited for, the oldest that any rank used."""
    late = displaced(1)
    late.append(Operation(1, 12, "compute", "wait", "kv", 2, 1, 12, 13, waits_for=2))
    found = ages(trace(displaced(0) + late))
    assert found["transfers"].dims == ("transfer", "layer", "step")
    np.testing.assert_array_equal(found["transfers"].sel(transfer="kv"), [[0, 1, 1], [0, 1, 2]])
    assert "outputs" not in found


def test_kept_ages_of_outputs_are_by_slot(record: Callable[..., Trace]) -> None:
    """Of ranks the oldest; NaN at a step that no rank kept."""

    def keep(rank: int, step: int) -> dict[str, np.ndarray[tuple[int], np.dtype[np.int64]]]:
        return {"age/0": np.array([step > 1, rank + 1], np.int64)} if step != 2 else {}

    found = ages(record(keep, ranks=2, steps=4))
    expected = [[0, 2], [0, 2], [math.nan, math.nan], [1, 2]]
    np.testing.assert_array_equal(found["outputs"].sel(layer=0), expected)
    assert found["outputs"].attrs["units"] == "steps"


def test_where_nobody_waits_and_nothing_was_kept_nothing_is_old() -> None:
    """A single rank's run."""
    alone = Operation(0, 0, "compute", "compute", "f", 0, 0, 0.0, 1.0, 1.0)
    with pytest.raises(InputError, match="nothing can be old"):
        ages(trace([alone], ranks=1, steps=1))
