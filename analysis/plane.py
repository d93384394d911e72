"""The plane on which most of some points lie, and where others are on it, from their distances."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from analysis.gram import Flags, Matrix

#: Principal components that are given.
COMPONENTS = 3
#: Of the first component's variance: less is rounding.
_LEAST = 1e-9


@dataclass(frozen=True)
class Plane:
    """Of S points.

    Attributes:
        score: (S, COMPONENTS), places on the axes; NaN for components that there are not.
        squared_off: (S,), squared distances from what these span.
        explained: (COMPONENTS,), share of the fitted points' variance.
    """

    score: Matrix
    squared_off: Matrix
    explained: Matrix


def plane(squared_distances: Matrix, fitted: Flags) -> Plane:
    """Principal components of the `fitted` (S,) of S points, from the distances of all, (S, S).

    Classical scaling, with the others as supplementary points: Gower 1966, "Some distance
    properties of latent root and vector methods". Each axis points to where the fitted point
    farthest along it is.
    """
    to_fitted = squared_distances[:, fitted]
    score = np.full((len(fitted), COMPONENTS), np.nan)
    explained = np.full(COMPONENTS, np.nan)
    if not fitted.any():
        return Plane(score, score[:, 0].copy(), explained)
    among = to_fitted[fitted]
    to_mean = to_fitted.mean(axis=1) - among.mean() / 2
    # (x - mean) . (y - mean) of every point x and fitted point y
    products = (to_mean[:, None] + to_mean[fitted] - to_fitted) / 2
    values, vectors = np.linalg.eigh(products[fitted])
    values, vectors = values[::-1], vectors[:, ::-1]
    there = min(COMPONENTS, int((values > _LEAST * max(values[0], 0)).sum()))
    axes = vectors[:, :there] / np.sqrt(values[:there])
    axes *= np.sign(products[fitted] @ axes)[
        np.abs(products[fitted] @ axes).argmax(axis=0), np.arange(there)
    ]
    score[:, :there] = products @ axes
    explained[:there] = values[:there] / values.clip(min=0).sum()
    off = to_mean - np.square(score[:, :there]).sum(axis=1)
    return Plane(score, np.maximum(off, 0), explained)
