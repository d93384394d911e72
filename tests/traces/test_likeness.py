"""Distances from norms and projections: the likeliest, exact where nothing was lost."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from traces.likeness import squared_distances

Array = NDArray[np.float64]


def exact(x: Array) -> Array:
    """(S, S)."""
    found: Array = np.square(x[:, None] - x).sum(axis=2)
    return found


def drawn(*shape: int, seed: int = 0) -> Array:
    """Independent Gaussian numbers."""
    return np.random.default_rng(seed).standard_normal(shape)


def test_nothing_is_lost_of_what_was_not_projected() -> None:
    """Sketches that are the vectors themselves, of all directions and lengths."""
    x = drawn(6, 40) * np.array([1, 1e-3, 5, 1, 1, 2])[:, None]
    x[3] = x[0] + 1e-6 * x[2]
    x[4] = -x[0]
    norms = np.linalg.norm(x, axis=1)
    np.testing.assert_allclose(squared_distances(norms, x), exact(x), rtol=1e-6, atol=1e-15)


def test_equal_vectors_are_at_no_distance() -> None:
    """Exactly none, whatever their sketches have lost."""
    sketch = drawn(1, 30)
    found = squared_distances(np.array([3.0, 3.0]), np.repeat(sketch, 2, axis=0))
    assert (found == 0).all()


def test_the_cosine_is_the_likeliest_one() -> None:
    """No other makes Gaussian sketches of vectors of these norms likelier."""
    base = drawn(1, 50)
    u, v = 0.6 * base[0] + 0.8 * drawn(50, seed=1), base[0]
    a, b, m = float(u @ u + v @ v) / 50, float(u @ v) / 50, 50
    c = np.linspace(-0.999, 0.999, 20001)
    likelihood = -m / 2 * np.log(1 - c**2) - m / 2 * (a - 2 * c * b) / (1 - c**2)
    found = squared_distances(np.ones(2), np.stack([u, v]) / np.sqrt(m))
    assert 1 - found[0, 1] / 2 == pytest.approx(c[likelihood.argmax()], abs=1e-4)


@pytest.mark.parametrize("cosine", [-0.7, 0.0, 0.5, 0.9, 0.999])
def test_errors_have_the_spread_that_is_stated(cosine: float) -> None:
    """(1 - c^2) / sqrt((1 + c^2) m), over many projections."""
    m, times = 400, 1500
    drawn_ = drawn(times, 2, m, seed=3) / np.sqrt(m)
    u = drawn_[:, 0]
    v = cosine * u + np.sqrt(1 - cosine**2) * drawn_[:, 1]
    found = [1 - squared_distances(np.ones(2), np.stack(pair))[0, 1] / 2
             for pair in zip(u, v, strict=True)]  # fmt: skip
    stated = (1 - cosine**2) / np.sqrt((1 + cosine**2) * m)
    assert np.std(found) == pytest.approx(stated, rel=0.08)
    assert np.mean(found) == pytest.approx(cosine, abs=4 * stated / times**0.5 + 1 / m)


def test_a_vector_that_is_not_known_has_no_distances() -> None:
    """NaN; the others have theirs."""
    found = squared_distances(np.array([1.0, np.nan, 2.0]), drawn(3, 30))
    assert np.isnan(found[1]).all()
    assert np.isnan(found[:, 1]).all()
    assert np.isfinite(found[0, 2])


def test_from_nothing_it_is_as_far_as_the_other_is_long() -> None:
    """A vector of zeros has no direction, and needs none."""
    found = squared_distances(np.array([3.0, 0.0]), np.stack([drawn(30), np.zeros(30)]))
    assert found[0, 1] == 9
