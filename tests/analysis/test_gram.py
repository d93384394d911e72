"""Norms and distances of steps, against what numpy says of the whole."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from analysis.gram import Gram, of_blocks

Array = NDArray[np.float32]


def steps_of(count: int, numbers: int, change: float = 1.0, seed: int = 0) -> Array:
    """A random walk: (count, numbers)."""
    drawn = np.random.default_rng(seed).standard_normal((count, numbers))
    drawn[1:] *= change
    walk: Array = drawn.cumsum(axis=0).astype(np.float32)
    return walk


def in_blocks(x: Array, width: int) -> Gram:
    """Read a few columns at a time."""
    return of_blocks((x[:, low : low + width] for low in range(0, x.shape[1], width)), len(x))


@given(st.integers(1, 6), st.integers(1, 40), st.integers(1, 50))
def test_blocks_of_any_width_give_the_norms_and_distances(
    count: int, numbers: int, width: int
) -> None:
    """As float64 gives them of all numbers at once."""
    x = steps_of(count, numbers)
    gram, exact = in_blocks(x, width), x.astype(np.float64)
    scale = np.square(exact).sum()
    assert np.allclose(gram.squares, np.square(exact).sum(axis=1), rtol=1e-5)
    apart = np.square(exact[:, None] - exact).sum(axis=2)
    assert np.allclose(gram.squared_distances, apart, atol=1e-5 * scale)
    second = np.diff(exact, 2, axis=0)
    assert np.allclose(gram.squared_second_changes[2:], np.square(second).sum(axis=1), rtol=1e-4)
    assert np.isnan(gram.squared_second_changes[:2]).all()


def test_small_changes_are_not_lost_beside_large_norms() -> None:
    """A change of 1e-5 of the norm is known to four digits, where norms' difference has none."""
    x = steps_of(5, 40_000, change=1e-5)
    exact = x.astype(np.float64)
    apart = np.sqrt(np.square(exact[:, None] - exact).sum(axis=2))
    assert np.allclose(np.sqrt(in_blocks(x, 7_000).squared_distances), apart, rtol=1e-4)


def test_equal_steps_are_at_no_distance_at_all() -> None:
    """Exactly, and whatever their size."""
    x = np.repeat(steps_of(1, 30_000) * 1e3, 4, axis=0)
    assert not in_blocks(x, 4_000).squared_distances.any()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("at", [0, 2, 4])
def test_what_is_not_finite_costs_its_own_step_only(bad: float, at: int) -> None:
    """All others have the products that they have without it."""
    x = steps_of(5, 100)
    broken = x.copy()
    broken[at, 37] = bad
    gram = in_blocks(broken, 30)
    assert gram.finite.tolist() == [step != at for step in range(5)]
    assert gram.kept.all()
    others = [step for step in range(5) if step != at]
    whole = in_blocks(x, 30)
    assert np.allclose(gram.squares[others], whole.squares[others])
    found, expected = (each.squared_distances[np.ix_(others, others)] for each in (gram, whole))
    assert np.allclose(found, expected, rtol=1e-4, atol=1e-3)


def test_a_step_of_nothing_but_nan_was_not_kept() -> None:
    """Where a step has any number, it was."""
    x = steps_of(3, 10)
    x[1] = np.nan
    assert in_blocks(x, 4).kept.tolist() == [True, False, True]


@pytest.mark.gpu
def test_a_gpu_gives_what_the_processor_gives() -> None:
    """Up to float32's rounding."""
    if not torch.cuda.is_available():
        pytest.skip("there is no CUDA device")
    x = steps_of(8, 50_000)
    there = of_blocks([x], 8, torch.device("cuda"))
    assert np.allclose(there.changes, of_blocks([x], 8).changes, rtol=1e-4, atol=1.0)
