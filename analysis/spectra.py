"""In how many directions a tensor, and its change from step to step, has its energy."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from analysis.gaps import Gaps
from analysis.results import described, ratio
from analysis.sentences import sentence
from analysis.tensors import Array, Tensor, changes, tensor
from traces.errors import InputError

if TYPE_CHECKING:
    from traces.trace import Trace

#: x_t, x_t - x_(t-1), and the change of that.
ORDERS = ("activation", "residual", "second residual")

Values = NDArray[np.float64]

_CPU = torch.device("cpu")
_SEED = 0
_DIMS = ("order", "layer", "step")


def spectra(trace: Trace, name: str, *, device: torch.device = _CPU) -> xr.Dataset:
    """Singular values of a kept tensor's matrices, tokens of all ranks by channels.

    Of dims (order, layer, step, index): `singular_value`, as a share of the matrix's Frobenius
    norm, and `energy`, the share of its square in the first index + 1 of them, both float32. Of
    (order, layer, step): `entropy_rank`, exp of the entropy of the singular values over their sum
    (Roy and Vetterli 2007, "The effective rank"), and `stable_rank`, the Frobenius norm's square
    over that of the largest. Each has its `gaussian_...` without order, layer and step: of one
    seeded matrix of the same shape with independent Gaussian numbers.

    Reads a layer step by step. NaN where a step is missing, not finite, or zero, such as the
    residual of what does not change. Raises InputError for an unknown name, and where no number
    is finite.
    """
    what, gaps = tensor(trace, name), Gaps(trace.problems)
    rows, channels = what.shape
    holders = {layer: what.holders(layer) for layer in what.layers}
    shape = (max(map(len, holders.values())) * rows, channels)
    if not shape[0]:
        raise InputError(f"{name!r}: none of its kept numbers is finite")
    found = np.full((len(ORDERS), len(what.layers), what.steps, min(shape)), np.nan)
    for place, layer in enumerate(what.layers):
        for order, step, values in _of_layer(what, (layer, holders[layer]), gaps, device):
            found[order, place, step] = np.append(values, np.zeros(min(shape) - len(values)))
    noise = np.random.default_rng(_SEED).standard_normal(shape, np.float32)
    gaussian = _measures(_relative_values(noise, device))
    variables = {
        **{key: (dims, values) for key, dims, values in _named(_measures(found), _DIMS)},
        **{f"gaussian_{key}": (dims, values) for key, dims, values in _named(gaussian, ())},
    }
    coords = {"order": list(ORDERS), "layer": what.layers, "step": list(range(what.steps))}
    result = xr.Dataset(variables, coords)
    for key in result.data_vars:
        result[key].attrs["units"] = "1"
    result["step"].attrs["units"] = "denoising steps"
    about = {"rows": shape[0], "channels": channels, "gaps": gaps.text, "summary": _summary(result)}
    return result.assign_attrs(described(trace, what), **about)


def _summary(result: xr.Dataset) -> str:
    parts = (
        sentence("effective rank {:.0f}", result["entropy_rank"].sel(order="activation")),
        sentence("of residuals {:.0f}", result["entropy_rank"].sel(order="residual")),
        sentence("of noise {:.0f}", result["gaussian_entropy_rank"]),
    )
    return ", ".join(filter(None, parts))


def _of_layer(
    what: Tensor, place: tuple[int, list[int]], gaps: Gaps, device: torch.device
) -> Iterator[tuple[int, int, Values]]:
    """(order, step, relative singular values) of all that have some; says why others have none."""
    layer, holders = place
    if not holders:
        gaps.add("not kept, or not finite", layer, range(what.steps))
        return
    gaps.add("not kept", layer, set(range(what.steps)) - set(what.kept_steps))
    for step, orders in changes(what.matrices(layer, *holders)):
        for order, matrix in enumerate(orders):
            if reason := _unfit(matrix):
                gaps.add(f"{ORDERS[order]} {reason}", layer, [step])
            else:
                yield order, step, _relative_values(matrix, device)


def _unfit(matrix: Array) -> str:
    """Why a matrix has no spectrum; "" where it has."""
    if not np.isfinite(matrix).all():
        return "not kept, or not finite"
    return "" if matrix.any() else "is zero"


def _relative_values(matrix: Array, device: torch.device) -> Values:
    """Singular values, falling, over the Frobenius norm.

    From products with itself of the shorter side: in float64 that costs a tenth of the SVD, and
    only what is below 1e-8 of the largest is lost.
    """
    x = torch.from_numpy(matrix).to(device, torch.float64)
    squares = torch.linalg.eigvalsh(x @ x.T if len(x) < x.shape[1] else x.T @ x)
    squares = squares.clamp(min=0).flip(0) / x.square().sum()
    values: Values = squares.sqrt().cpu().numpy()
    return values


def _measures(values: Values) -> dict[str, Values]:
    """Of relative singular values (..., index), what `spectra` tells."""
    share = ratio(values, np.nansum(values, axis=-1, keepdims=True))
    logarithm = np.log(np.where(share > 0, share, 1.0))
    return {
        "singular_value": values.astype(np.float32),
        "energy": np.square(values).cumsum(axis=-1).astype(np.float32),
        "entropy_rank": np.exp(-(share * logarithm).sum(axis=-1)),
        "stable_rank": 1 / values[..., 0] ** 2,
    }


def _named(
    measures: dict[str, Values], dims: tuple[str, ...]
) -> Iterator[tuple[str, tuple[str, ...], Values]]:
    for key, values in measures.items():
        yield key, (*dims, "index") if values.ndim > len(dims) else dims, values
