"""How alike vectors are of which only norms and random projections are known.

Shapes: S vectors, m numbers of each projection.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: So that 1e-15 is known to four digits.
_HALVINGS = 64


def squared_distances(norms: Array, sketches: Array) -> Array:
    """(S, S), |x_s - x_t|^2 from (S,) norms and (S, m) projections of the same kind.

    With c the likeliest cosine of a pair (Li, Hastie and Church 2006, "Improving random projections
    using marginal information", lemma 2), of standard error (1 - c^2) / sqrt((1 + c^2) m). So the
    distance has a relative one of at most 1 / sqrt(2 m), however small it is; and equal vectors
    have 0. NaN where a norm is NaN. From a vector of norm 0 it is the other's norm.
    """
    off = _one_less_cosines(norms, sketches)
    found: Array = (norms[:, None] - norms) ** 2 + 2 * np.outer(norms, norms) * off
    return found


def _one_less_cosines(norms: Array, sketches: Array) -> Array:
    """(S, S), e = 1 - c of the likeliest c, for which c^3 - b c^2 + (a - 1) c - b = 0.

    Of unit vectors' projections u and v, a = |u|^2 + |v|^2 and b = u.v. Written in e and
    d = |u - v|^2, which is known well where u and v are close: d - (2 + d) e + (3 - b) e^2 = e^3.
    """
    units = sketches / np.where(norms == 0, 1.0, norms)[:, None]
    distances = np.zeros((len(units), len(units)))
    for lag in range(1, len(units)):
        squares = np.square(units[lag:] - units[:-lag]).sum(axis=1)
        distances += np.diag(squares, lag) + np.diag(squares, -lag)
    products = units @ units.T
    return _root(distances, products)


def _root(d: Array, b: Array) -> Array:
    """Of that equation, between 0 and 2, by bisection: there always is one."""
    low, high = np.zeros_like(d), np.full_like(d, 2.0)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        left = d + middle * (middle * (3 - b - middle) - 2 - d) > 0
        low, high = np.where(left, middle, low), np.where(left, high, middle)
    found: Array = np.where(np.isnan(d), np.nan, low)  # the lower, so that 0 stays 0
    return found
