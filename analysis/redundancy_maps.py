"""Where a tensor changes from one step to the next: over the tokens of the image, over channels."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from analysis.gaps import Gaps
from analysis.results import cosine, described, ratio
from analysis.tensors import Tensor, changes, grid, tensor
from traces.errors import InputError

if TYPE_CHECKING:
    from traces.trace import Trace

#: Sums of squares by (order, step, token or channel): of x_t, and of x_t - x_(t-1).
Squares = NDArray[np.float64]

_UNITS = dict.fromkeys(("norm", "residual_norm"), "units of the activation")
_ABOUT = {
    "norm": "|x_t|",
    "residual_norm": "|x_t - x_(t-1)|",
    "relative_l2": "|x_t - x_(t-1)| / |x_t|",
    "cosine": "of x_t and x_(t-1)",
}


def redundancy_maps(trace: Trace, name: str) -> xr.Dataset:
    """Change from step to step of each token (over its channels) and each channel (over tokens).

    Variables `token_...` of dims (layer, step, row, column), for videos with frame before row, and
    with the one dim token where the run's model has no such grid; `channel_...` of (layer, step,
    channel): norm and residual_norm, relative_l2 and cosine of adjacent steps, float32. Images are
    summed up; so are ranks that each have all tokens, and others' tokens follow each other.

    Reads a layer step by step. NaN where a token or channel is missing, not finite or zero. Raises
    InputError for an unknown name, and where there are not two steps.
    """
    what, gaps = tensor(trace, name), Gaps(trace.problems)
    if what.steps < 2:
        raise InputError(f"{name!r} was kept in one step only: there is nothing to compare it with")
    shape = _token_shape(trace, what)
    found = [_of_layer(what, layer, math.prod(shape), gaps) for layer in what.layers]
    dims = ("frame", "row", "column")[-len(shape) :] if len(shape) > 1 else ("token",)
    token = _variables("token", shape, dims, [of_tokens for of_tokens, _ in found])
    channel = _variables("channel", what.shape[1:], ("channel",), [of for _, of in found])
    coords = {"layer": what.layers, "step": list(range(what.steps))}
    result = xr.Dataset(token | channel, coords)
    result["step"].attrs["units"] = "denoising steps"
    return result.assign_attrs(described(trace, what), gaps=gaps.text)


def _token_shape(trace: Trace, what: Tensor) -> tuple[int, ...]:
    """The image's, where tokens of a rank, or of all ranks together, are those of images."""
    tokens, sides = what.layout.tokens(what.cell), grid(trace)
    if sides is None:
        return (tokens,)
    image = math.prod(sides)
    whole = tokens * len(what.ranks) == image or tokens % image == 0
    shape = sides[1:] if sides[0] == 1 else sides
    return shape if whole else (tokens,)


def _of_layer(what: Tensor, layer: int, tokens: int, gaps: Gaps) -> tuple[Squares, Squares]:
    """Sums of squares of all ranks, for tokens and for channels."""
    width = min(tokens, what.layout.tokens(what.cell))
    parts = [_of_rank(what, rank, layer, width) for rank in what.ranks]
    there = [not np.isnan(of_tokens[0]).all() for of_tokens, _ in parts]
    for (_, of_channels), rank, has in zip(parts, what.ranks, there, strict=True):
        if has:  # else the layer is another rank's
            lost = np.flatnonzero(np.isnan(of_channels[0]).any(axis=1))
            gaps.add(f"not kept by rank {rank}, or not finite", layer, lost.tolist())
    if width < tokens:  # ranks have tokens of their own
        by_token = np.concatenate([of_tokens for of_tokens, _ in parts], axis=2)
    else:
        by_token = _summed(
            [of for (of, _), has in zip(parts, there, strict=True) if has], parts[0][0]
        )
    by_channel = _summed(
        [of for (_, of), has in zip(parts, there, strict=True) if has], parts[0][1]
    )
    return by_token, by_channel


def _summed(parts: list[Squares], like: Squares) -> Squares:
    return sum(parts[1:], parts[0]) if parts else np.full_like(like, np.nan)


def _of_rank(what: Tensor, rank: int, layer: int, width: int) -> tuple[Squares, Squares]:
    """One rank's; rows `width` apart are of the same token of different images."""
    by_token = np.full((2, what.steps, width), np.nan)
    by_channel = np.full((2, what.steps, what.shape[1]), np.nan)
    for step, orders in changes(what.matrices(layer, rank)):
        for order, numbers in enumerate(orders[:2]):
            squares = np.square(numbers, dtype=np.float64)
            by_token[order, step] = squares.sum(axis=1).reshape(-1, width).sum(axis=0)
            by_channel[order, step] = squares.sum(axis=0)
    return by_token, by_channel


def _variables(
    prefix: str, shape: tuple[int, ...], dims: tuple[str, ...], layers: list[Squares]
) -> dict[str, xr.DataArray]:
    """By name, from the sums of each layer."""
    own, change = np.stack(layers, axis=1)
    norm, change_norm = np.sqrt(own), np.sqrt(change)
    before = np.full_like(norm, np.nan)
    before[:, 1:] = norm[:, :-1]
    values = {
        "norm": norm,
        "residual_norm": change_norm,
        "relative_l2": ratio(change_norm, norm),
        "cosine": cosine(norm, before, change),
    }
    return {
        f"{prefix}_{key}": xr.DataArray(
            array.reshape(*array.shape[:2], *shape).astype(np.float32),
            dims=("layer", "step", *dims),
            attrs={"units": _UNITS.get(key, "1"), "long_name": _ABOUT[key]},
        )
        for key, array in values.items()
    }
