"""Fréchet distance between two sets of pictures, by the features that a classifier sees in them."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

from traces.errors import InputError


class Gaussian(NamedTuple):
    """The normal distribution that stands for a set's features."""

    mean: NDArray[np.float64]  # (F,)
    covariance: NDArray[np.float64]  # (F, F)


def gaussian(features: ArrayLike) -> Gaussian:
    """Mean and covariance of features (N, F), by N - 1.

    Raises InputError for numbers that are not finite, and for F pictures or fewer: their
    covariance has directions in which nothing is known.
    """
    values = np.asarray(features, dtype=np.float64)
    if values.ndim != 2:
        raise InputError(f"features are an array of {values.ndim} dimensions, expected 2")
    count, width = values.shape
    if count < fewest(width):
        raise InputError(
            f"Fréchet distance: {count} pictures, expected {fewest(width)} or more for a "
            f"covariance of {width} features"
        )
    if not np.isfinite(values).all():
        wrong = int((~np.isfinite(values).all(axis=1)).sum())
        raise InputError(f"Fréchet distance: features of {wrong} pictures are not finite")
    return Gaussian(values.mean(axis=0), np.atleast_2d(np.cov(values, rowvar=False)))


def fewest(features: int) -> int:
    """How many pictures it takes at least to know the covariance of so many features."""
    return features + 1


def distance(one: Gaussian, other: Gaussian) -> float:
    """Heusel et al. 2017, "GANs Trained by a Two Time-Scale Update Rule", equation 6.

    |m - m'|^2 + tr(C + C' - 2 (C C')^(1/2)), 0 or more. The last trace is the sum of the singular
    values of C^(1/2) C'^(1/2), which stays real and exact where covariances are singular.
    """
    if one.mean.shape != other.mean.shape:
        raise InputError(
            f"Fréchet distance: {len(one.mean)} features beside {len(other.mean)}, expected as many"
        )
    apart = np.square(one.mean - other.mean).sum()
    overlap = np.linalg.svd(_root(one.covariance) @ _root(other.covariance), compute_uv=False)
    spread = np.trace(one.covariance) + np.trace(other.covariance) - 2 * overlap.sum()
    return float(max(0.0, apart + spread))


def _root(covariance: NDArray[np.float64]) -> NDArray[np.float64]:
    """Its symmetric square root; what rounding has made less than 0 is 0."""
    values, vectors = np.linalg.eigh(covariance)
    root: NDArray[np.float64] = (vectors * np.sqrt(values.clip(min=0.0))) @ vectors.T
    return root
