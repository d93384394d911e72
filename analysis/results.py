"""What results of analyses have in common: where they come from, and how they divide by zero."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

if TYPE_CHECKING:
    from analysis.sketched import SketchedTensor
    from analysis.tensors import Tensor
    from traces.trace import Trace


def described(trace: Trace, what: Tensor | SketchedTensor) -> dict[str, Any]:
    """Attributes of a result: the run, the tensor, and that activations were measured."""
    run = trace.run
    kept = {"tensor": what.name, "kept_by_ranks": what.ranks, "evidence": "measured"}
    return {key: getattr(run, key) for key in ("model", "schedule", "ranks")} | kept


def ratio(above: ArrayLike, below: ArrayLike) -> NDArray[np.float64]:
    """above / below; NaN where there is nothing to divide by."""
    over, under = np.asarray(above, np.float64), np.asarray(below, np.float64)
    return np.divide(over, np.where(under == 0, np.nan, under))


def cosine(
    one_norm: ArrayLike, other_norm: ArrayLike, squared_distance: ArrayLike
) -> NDArray[np.float64]:
    """From 2 x.y = |x|^2 + |y|^2 - |x - y|^2, which loses nothing where x and y are close.

    Within -1 and 1, and exactly 1 for equal ones; NaN where either is zero.
    """
    one, other = np.asarray(one_norm, np.float64), np.asarray(other_norm, np.float64)
    off = np.asarray(squared_distance, np.float64) - (one - other) ** 2
    found: NDArray[np.float64] = np.clip(1 - ratio(off, 2 * one * other), -1.0, 1.0)
    return found
