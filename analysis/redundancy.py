"""How alike a tensor is from step to step: cosines, distances and residuals, layer by layer.

All of it comes from the products of every step with every other (`analysis.gram`), so the numbers
are read once, in blocks. Where a trace has sketches of a tensor only, they are estimates, and the
result says within what.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from analysis.gaps import Gaps
from analysis.gram import Flags, Gram, Matrix, of_layer
from analysis.results import cosine, described, ratio
from analysis.sentences import sentence
from analysis.sketched import Distances, SketchedTensor, sketched_tensor
from analysis.tensors import BLOCK_BYTES, Tensor, names, tensor
from traces.errors import InputError

if TYPE_CHECKING:
    import torch

    from traces.trace import Trace

#: Of dims (layer, step): Frobenius norms over all ranks.
_NORMS = {
    "activation_norm": "|x_t|",
    "residual_norm": "|x_t - x_(t-1)|",
    "second_residual_norm": "|x_t - 2 x_(t-1) + x_(t-2)|",
}


def redundancy(
    trace: Trace,
    name: str,
    *,
    device: torch.device | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> xr.Dataset:
    """Similarity of all steps of a kept tensor, and its residuals; x_t is step t of all ranks.

    Of dims (layer, step, other_step): `cosine` of x_step and x_other_step, and `relative_l2`,
    |x_step - x_other_step| / |x_step|: what is wrong where the other step's is used instead. Of
    (layer, lag): their means over all steps that have one so many steps before, `cosine_by_lag` and
    `relative_l2_by_lag`; of (lag): mean and standard deviation of those over layers. Of (layer,
    step): three norms, of x, its residual and that one's residual, and the residuals' ratios to
    |x_t| (CompactFusion, arXiv 2507.17511, sections 3 and 5).

    Products are computed on `device`, by default the processor, from blocks of at most
    `block_bytes`. Of a tensor that was only sketched, distances and what is made of them are
    estimates: attributes "error" and "relative_error" say how good (`traces.reduced.read`), and
    "evidence" that it is so. NaN where a step is missing, is not finite or is zero: attribute
    "gaps" says why.
    Raises InputError for an unknown name, and where there are not two steps.
    """
    whole = name in names(trace)
    what = tensor(trace, name) if whole else sketched_tensor(trace, name)
    if what.steps < 2:
        raise InputError(f"{name!r} was kept in one step only: there is nothing to compare it with")
    gaps, layers = Gaps(trace.problems), []
    for layer in what.layers:
        gram, usable = _products(what, layer, gaps, device=device, block_bytes=block_bytes)
        layers.append(_of_layer(gram, usable))
        zero = usable & (layers[-1]["activation_norm"][1] == 0)
        gaps.add("all zero, so it has no direction", layer, np.flatnonzero(zero).tolist())
    coords = {"layer": what.layers, "step": range(what.steps), "other_step": range(what.steps)}
    stacked = {
        key: (("layer", *dims), np.stack([of[key][1] for of in layers]))
        for key, (dims, _) in layers[0].items()
    }
    found = xr.Dataset(stacked, {key: list(value) for key, value in coords.items()})
    found = xr.merge([found, _by_lag(found)])
    about = described(trace, what) | {"gaps": gaps.text, "summary": _summary(found)}
    if isinstance(what, SketchedTensor):
        about |= what.about
        about["summary"] += f" ({about['evidence']})"
    return _labelled(found.assign_attrs(about))


def _summary(found: xr.Dataset) -> str:
    residual = _mean(found["residual_ratio"].to_numpy(), axis=0)
    parts = (
        sentence("step to step cosine {:.3f}", found["cosine_lag_mean"][0]),
        sentence("relative L2 {:.3f}", found["relative_l2_lag_mean"][0]),
        sentence("residuals {:.2g} of the activation at least", residual, np.min),
        sentence("{:.2g} at most", residual, np.max),
    )
    return ", ".join(filter(None, parts))


def _products(
    what: Tensor | SketchedTensor, layer: int, gaps: Gaps, **how: Any
) -> tuple[Gram | Distances, Flags]:
    if isinstance(what, SketchedTensor):
        return what.of_layer(layer, gaps)
    return of_layer(what, layer, gaps, **how)


def _of_layer(gram: Gram | Distances, usable: Flags) -> dict[str, tuple[tuple[str, ...], Matrix]]:
    """One layer's variables, by name: their dims and values."""
    steps = np.where(usable, 1.0, np.nan)
    pairs = np.outer(steps, steps)
    distances, norms = gram.squared_distances * pairs, np.sqrt(gram.squares) * steps
    before, twice = (np.append([np.nan] * lag, steps[:-lag]) for lag in (1, 2))
    one = np.sqrt(np.append(np.nan, distances.diagonal(1)))
    two = np.sqrt(gram.squared_second_changes * steps * before * twice)
    return {
        "cosine": (("step", "other_step"), cosine(norms[:, None], norms, distances)),
        "relative_l2": (("step", "other_step"), ratio(np.sqrt(distances), norms[:, None])),
        "activation_norm": (("step",), norms),
        "residual_norm": (("step",), one),
        "second_residual_norm": (("step",), two),
        "residual_ratio": (("step",), ratio(one, norms)),
        "second_residual_ratio": (("step",), ratio(two, norms)),
    }


def _by_lag(found: xr.Dataset) -> xr.Dataset:
    """Means over the diagonals, and what layers make of them."""
    lags = range(1, found.sizes["step"])
    curves: dict[str, Any] = {}
    for key in ("cosine", "relative_l2"):
        values = found[key].to_numpy()
        # Below the diagonal the other step is the earlier one.
        means = [_mean(values.diagonal(-lag, 1, 2), axis=1) for lag in lags]
        by_layer = np.stack(means, axis=1)
        curves[f"{key}_by_lag"] = (("layer", "lag"), by_layer)
        mean = _mean(by_layer, axis=0)
        curves[f"{key}_lag_mean"] = (("lag",), mean)
        curves[f"{key}_lag_spread"] = (("lag",), np.sqrt(_mean((by_layer - mean) ** 2, axis=0)))
    return xr.Dataset(curves, {"layer": found["layer"], "lag": list(lags)})


def _mean(values: Matrix, axis: int) -> Matrix:
    """Of what there is; NaN where there is nothing."""
    there = np.isfinite(values)
    return ratio(np.where(there, values, 0.0).sum(axis=axis), there.sum(axis=axis))


def _labelled(found: xr.Dataset) -> xr.Dataset:
    for key in found.data_vars:
        found[key].attrs["units"] = "1"
    for key, formula in _NORMS.items():
        found[key].attrs |= {"units": "units of the activation", "long_name": formula}
    for axis in ("step", "other_step", "lag"):
        found[axis].attrs["units"] = "denoising steps"
    return found
