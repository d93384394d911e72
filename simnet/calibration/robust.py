"""Fits many lines at once: sums of terms, none below its least value, to times with strays."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

_STEPS = 100
_STILL = 1e-10  # a step that makes a cost less by this part of it has arrived
_FIRST_DAMPING, _MOST_DAMPING = 1e-3, 1e9
_BOLDER, _CAREFUL = 0.2, 5.0  # times the damping, after a step that was good and one that was not
_TINY = 1e-15


class Fits(NamedTuple):
    """Terms, (fits, terms), and what each fit has left of errors, (fits,)."""

    terms: NDArray[np.float64]
    costs: NDArray[np.float64]


@dataclass(frozen=True)
class Lines:
    """Sums of terms, to be fitted.

    `matrix` is (cells, terms); `sure` (cells,) one over the relative error that a cell is allowed;
    `start` and `least` are of each term (terms,), what it starts from and does not go below.
    """

    matrix: NDArray[np.float64]
    sure: NDArray[np.float64]
    start: NDArray[np.float64]
    least: NDArray[np.float64]

    def fit(self, times_s: NDArray[np.float64]) -> Fits:
        """For each row of `times_s` (fits, cells), the terms x with `matrix @ x` nearest to it.

        Nearest in logarithms: the cost is the sum of sqrt(1 + e²) - 1 over the errors e, soft L1.
        Levenberg-Marquardt, in which a term that would go below its least value stays there;
        Nocedal and Wright, "Numerical Optimization", chapters 10 and 16.7.
        """
        aims = np.log(times_s)
        x = np.ones((len(aims), len(self.start)))
        costs = _costs(self._errors(x, aims))
        damping = np.full(len(aims), _FIRST_DAMPING)
        moving = np.arange(len(aims))
        for _ in range(_STEPS):
            here, aim = x[moving], aims[moving]
            step = self._step(here, self._errors(here, aim), damping[moving])
            there = np.maximum(here + step, self._bound)
            costs_there = _costs(self._errors(there, aim))
            gain = costs[moving] - costs_there
            better = gain > 0
            still = better & (gain <= _STILL * costs[moving])
            x[moving[better]], costs[moving[better]] = there[better], costs_there[better]
            damping[moving] *= np.where(better, _BOLDER, _CAREFUL)
            moving = moving[~still & (damping[moving] < _MOST_DAMPING)]
            if not len(moving):
                break
        return Fits(x * self.start, costs)

    @cached_property
    def _scaled(self) -> NDArray[np.float64]:
        """For terms near 1, whatever their units."""
        return self.matrix * self.start

    @cached_property
    def _bound(self) -> NDArray[np.float64]:
        return self.least / self.start

    def _times(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.maximum(x @ self._scaled.T, _TINY)

    def _errors(self, x: NDArray[np.float64], aims: NDArray[np.float64]) -> NDArray[np.float64]:
        return np.asarray(self.sure * (np.log(self._times(x)) - aims))

    def _step(
        self,
        x: NDArray[np.float64],
        errors: NDArray[np.float64],
        damping: NDArray[np.float64],
    ) -> NDArray[np.float64]:
        """Where each fit goes next; a term that is pushed against its bound stays."""
        slopes = (self.sure / self._times(x))[..., None] * self._scaled
        weighted = slopes / np.sqrt(1 + errors**2)[..., None]
        gradient = np.einsum("fct,fc->ft", weighted, errors)
        free = (x > self._bound) | (gradient < 0)
        curvature = np.einsum("fct,fcu->ftu", weighted, slopes)
        curvature *= free[:, :, None] & free[:, None, :]
        diagonal = np.einsum("ftt->ft", curvature)  # a view
        diagonal += damping[:, None] * diagonal + _TINY + ~free
        return np.asarray(np.linalg.solve(curvature, -(gradient * free)[..., None])[..., 0])


def _costs(errors: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray((np.sqrt(1 + errors**2) - 1).sum(axis=-1))
