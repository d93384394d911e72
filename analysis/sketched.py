"""Activations of which a trace has sketches only, as far as analyses can use them.

Shapes: S steps of the run.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analysis.tensors import names
from traces.errors import InputError, unknown

if TYPE_CHECKING:
    import xarray as xr

    from analysis.gaps import Gaps
    from traces.trace import Trace

Matrix = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Distances:
    """Of a layer's steps, all ranks together; what `analysis.gram.Gram` has of whole tensors.

    Attributes:
        squares: (S,), |x_t|^2, exact.
        squared_distances: (S, S), |x_s - x_t|^2, within the sketches' error.
        squared_second_changes: (S,), |x_t - 2 x_(t-1) + x_(t-2)|^2, likewise; NaN for the first.
    """

    squares: Matrix
    squared_distances: Matrix
    squared_second_changes: Matrix


@dataclass(frozen=True)
class SketchedTensor:
    """What was sketched of one activation.

    Attributes:
        name: one of `sketched`.
        found: as Trace.sketches has it.
        steps: of the run, kept or not.
    """

    name: str
    found: xr.Dataset
    steps: int

    @property
    def ranks(self) -> list[int]:
        """That kept it at all."""
        return [int(rank) for rank in self.found["rank"]]

    @property
    def layers(self) -> list[int]:
        """At which it was kept; -1 is outside the layers."""
        return [int(layer) for layer in self.found["layer"]]

    @property
    def about(self) -> dict[str, Any]:
        """Attributes of what is made of it, which say how far off it may be."""
        return dict(self.found.attrs)

    def of_layer(self, layer: int, gaps: Gaps) -> tuple[Distances, Flags]:
        """Of all ranks that have it; and which steps (S,) may be used. Says why not in gaps."""
        at, steps = self.found["step"].to_numpy(), self.steps
        usable = np.isin(np.arange(steps), at)
        gaps.add("not kept", layer, np.flatnonzero(~usable).tolist())
        sums = Distances(np.zeros(steps), np.zeros((steps, steps)), np.zeros(steps))
        for rank in self.ranks:
            found = self.found.sel(rank=rank, layer=layer)
            kept, norms = found["kept"].to_numpy(), found["norm"].to_numpy()
            if not kept.any():
                continue  # the layer is another rank's, as in a pipeline
            gaps.add(f"not kept by rank {rank}", layer, at[~kept].tolist())
            finite = np.isfinite(norms)
            gaps.add(f"NaN or infinity on rank {rank}", layer, at[kept & ~finite].tolist())
            usable[at[~finite]] = False
            sums.squares[at] += norms**2
            sums.squared_distances[np.ix_(at, at)] += found["distance"].to_numpy() ** 2
            sums.squared_second_changes[at] += found["second_residual_norm"].to_numpy() ** 2
        return sums, usable


def sketched(trace: Trace) -> tuple[str, ...]:
    """Activations that were not kept whole, and of which there are sketches."""
    whole = names(trace)
    return tuple(name for name in trace.reduced() if name not in whole)


def comparable(trace: Trace) -> tuple[str, ...]:
    """Whose steps can be compared: kept whole, or sketched."""
    return tuple(sorted({*names(trace), *sketched(trace)}))


def sketched_tensor(trace: Trace, name: str) -> SketchedTensor:
    """Raises InputError where there is no such sketch."""
    if name not in sketched(trace):
        if not comparable(trace):
            raise InputError(f"{name!r}: no activations were kept; record them with --keep")
        raise unknown("kept or sketched tensor", name, comparable(trace))
    return SketchedTensor(name, trace.sketches(name), trace.run.steps)
