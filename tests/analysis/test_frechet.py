"""Fréchet distance: closed forms, a slow reference, and what makes none."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.linalg import sqrtm

from analysis.quality.frechet import Gaussian, distance, fewest, gaussian
from traces.errors import InputError

Array = NDArray[np.float64]


def drawn(seed: int, count: int = 200, width: int = 6) -> Array:
    """Features that lean on each other."""
    random = np.random.default_rng(seed)
    mixed = random.normal(size=(width, width))
    values: Array = random.normal(size=(count, width)) @ mixed + random.normal(size=width)
    return values


def slowly(one: Gaussian, other: Gaussian) -> float:
    """By the matrix square root of the product, as it is usually written."""
    root = sqrtm(one.covariance @ other.covariance).real
    apart = one.mean - other.mean
    return float(apart @ apart + np.trace(one.covariance + other.covariance - 2 * root))


@settings(max_examples=25)
@given(first=st.integers(0, 10_000), second=st.integers(0, 10_000), width=st.integers(1, 12))
def test_it_is_what_the_matrix_square_root_gives(first: int, second: int, width: int) -> None:
    """And the same from either side."""
    one, other = (gaussian(drawn(seed, width=width)) for seed in (first, second))
    assert distance(one, other) == pytest.approx(slowly(one, other), rel=1e-6, abs=1e-6)
    assert distance(one, other) == pytest.approx(distance(other, one), rel=1e-9, abs=1e-9)


def test_a_set_is_at_no_distance_from_itself() -> None:
    """Up to rounding, and never below 0."""
    one = gaussian(drawn(0))
    assert 0 <= distance(one, one) < 1e-10


def test_moved_features_are_at_the_square_of_how_far() -> None:
    """|m - m'|^2, with equal covariances."""
    values = drawn(1)
    moved = values + np.array([3.0, 4.0, 0, 0, 0, 0])
    assert distance(gaussian(values), gaussian(moved)) == pytest.approx(25.0)


def test_scaled_features_are_at_the_square_of_the_difference_in_deviation() -> None:
    """(s - 1)^2 tr C about the same mean."""
    values = drawn(2) - drawn(2).mean(axis=0)
    trace = np.trace(gaussian(values).covariance)
    assert distance(gaussian(values), gaussian(3 * values)) == pytest.approx(4 * trace)


def test_independent_features_add_up() -> None:
    """Of diagonal covariances: the sum of (s - s')^2, worked out by hand."""
    one = Gaussian(np.zeros(3), np.diag([1.0, 4.0, 0.0]))
    other = Gaussian(np.array([0.0, 2.0, 0.0]), np.diag([9.0, 4.0, 25.0]))
    assert distance(one, other) == pytest.approx(2**2 + (1 - 3) ** 2 + 0 + 5**2)


def test_singular_covariances_have_a_distance() -> None:
    """Features that are one and the same, and pictures that are all alike."""
    column = np.random.default_rng(3).normal(size=(100, 1))
    copied = gaussian(np.repeat(column, 40, axis=1))
    alike = gaussian(np.full((100, 40), 2.0))
    assert distance(copied, alike) == pytest.approx(
        40 * (column.mean() - 2) ** 2 + 40 * column.var(ddof=1)
    )
    assert distance(alike, alike) == 0


def test_two_halves_of_one_set_come_nearer_the_larger_they_are() -> None:
    """A distance between samples is too large, by about one over their number."""
    few, many = drawn(4, 200), drawn(4, 20_000)
    apart = [distance(gaussian(some[::2]), gaussian(some[1::2])) for some in (few, many)]
    assert apart[1] < apart[0] / 10


def test_too_few_pictures_are_refused() -> None:
    """One more than there are features is enough."""
    with pytest.raises(InputError, match="6 pictures, expected 7 or more for a covariance of 6"):
        gaussian(drawn(5, count=6))
    assert fewest(6) == 7
    assert np.isfinite(gaussian(drawn(5, count=7)).covariance).all()


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_numbers_that_are_not_finite_are_refused(value: float) -> None:
    """With how many pictures have them."""
    values = drawn(6)
    values[3, 2] = values[3, 4] = values[9, 0] = value
    with pytest.raises(InputError, match="features of 2 pictures are not finite"):
        gaussian(values)


def test_sets_of_different_features_are_refused() -> None:
    """And what is no table of features."""
    with pytest.raises(InputError, match="6 features beside 5"):
        distance(gaussian(drawn(7)), gaussian(drawn(7, width=5)))
    with pytest.raises(InputError, match="1 dimensions, expected 2"):
        gaussian([1.0, 2.0])
