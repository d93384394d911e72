"""What is wrong where an activation of some steps ago is used instead of the fresh one."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from analysis.gaps import Gaps
from analysis.results import cosine, described, ratio
from analysis.sentences import sentence
from analysis.tensors import Array, Tensor, tensor
from traces.errors import InputError

if TYPE_CHECKING:
    from traces.trace import Trace

Sums = NDArray[np.float64]

_ABOUT = {
    "relative_l2": "|x_t - x_(t-age)| / |x_t|, of all tokens together",
    "cosine": "of x_t and x_(t-age), all tokens together",
    "token_relative_l2": "mean over tokens of |x - x_old| / |x|",
    "token_cosine": "mean over tokens of the cosine of x and x_old",
    "token_map": "mean over steps and images of |x - x_old| / |x|",
}


def error_by_age(trace: Trace, name: str, ages: int = 4) -> xr.Dataset:
    """Errors of a kept tensor's x_(t-age) in the place of x_t, for ages of 1 to `ages` steps.

    Of dims (layer, step, age), over all tokens of all ranks: `relative_l2` |x_t - x_(t-age)| /
    |x_t| and `cosine`, of all numbers together, and `token_relative_l2` and `token_cosine`, means
    over tokens. `token_map` (layer, age, rank, token): of each token the mean over steps, and over
    the rank's images, of its relative L2. Layers of which a rank has no part are not counted
    against it. Ages that the run is too short for are left out.

    Reads a rank's layer step by step, and holds `ages` + 1 steps of it. NaN where one of the two
    steps is missing or not finite, or x_t is zero: attribute "gaps" says why. Raises InputError for
    an unknown name, for less than one age, and where there are not two steps.
    """
    what, gaps = tensor(trace, name), Gaps(trace.problems)
    if ages < 1:
        raise InputError(f"ages is {ages}, expected 1 or more")
    if what.steps < 2:
        raise InputError(f"{name!r} was kept in one step only: there is nothing that is older")
    ages = min(ages, what.steps - 1)
    layers = [_of_layer(what, layer, ages, gaps) for layer in what.layers]
    stacked = {
        key: (("layer", *dims), np.stack([of[key] for of in layers]))
        for key, dims in {
            **dict.fromkeys(list(_ABOUT)[:4], ("step", "age")),
            "token_map": ("age", "rank", "token"),
        }.items()
    }
    coords = {"layer": what.layers, "step": range(what.steps), "age": range(1, ages + 1)}
    result = xr.Dataset(stacked, {key: list(value) for key, value in coords.items()})
    result = result.assign_coords(rank=what.ranks)
    for key, formula in _ABOUT.items():
        result[key].attrs |= {"units": "1", "long_name": formula}
    result["age"].attrs["units"] = result["step"].attrs["units"] = "denoising steps"
    off = sentence("one step old, {:.1%} off", result["relative_l2"].sel(age=1))
    return result.assign_attrs(described(trace, what), summary=off, gaps=gaps.text)


@dataclass
class _Rank:
    """Sums of one rank's layer: `flat` (4, S, A) of squares and of tokens' errors."""

    squares: Sums  # (S,) of x_t
    flat: Sums  # (S, A, 3): squares of the difference; relative L2, and cosine, of tokens
    tokens: Sums  # (A, T) of the relative L2, over steps and images
    counted: Sums  # (A, T) how often
    rows: int

    @property
    def there(self) -> bool:
        """Whether the layer is this rank's."""
        return not bool(np.isnan(self.squares).all())


def _of_layer(what: Tensor, layer: int, ages: int, gaps: Gaps) -> dict[str, Sums]:
    ranks = [_of_rank(what, rank, layer, ages) for rank in what.ranks]
    mine = [rank for rank in ranks if rank.there]
    squares = sum((rank.squares for rank in mine), np.zeros(what.steps) if mine else np.nan)
    flat = sum((rank.flat for rank in mine), np.zeros((what.steps, ages, 3)))
    rows = sum(rank.rows for rank in mine)
    norm = np.sqrt(np.broadcast_to(squares, (what.steps,)))[:, None]
    for number, rank in zip(what.ranks, ranks, strict=True):
        if rank.there:
            lost = np.flatnonzero(np.isnan(rank.squares)).tolist()
            gaps.add(f"not kept by rank {number}, or not finite", layer, lost)
    gaps.add("all zero, so nothing is relative to it", layer, np.flatnonzero(norm == 0).tolist())
    old = np.full((what.steps, ages), np.nan)
    for age in range(1, ages + 1):
        old[age:, age - 1] = norm[:-age, 0]
    usable = np.where(np.isnan(old), np.nan, flat[..., 0])
    return {
        "relative_l2": ratio(np.sqrt(usable), norm),
        "cosine": cosine(norm, old, usable),
        "token_relative_l2": ratio(flat[..., 1], rows),
        "token_cosine": ratio(flat[..., 2], rows),
        "token_map": np.stack([ratio(rank.tokens, rank.counted) for rank in ranks], axis=1),
    }


def _of_rank(what: Tensor, rank: int, layer: int, ages: int) -> _Rank:
    """Step by step, with the steps before in hand."""
    width = what.layout.tokens(what.cell)
    sums = _Rank(
        squares=np.full(what.steps, np.nan),
        flat=np.full((what.steps, ages, 3), np.nan),
        tokens=np.zeros((ages, width)),
        counted=np.zeros((ages, width)),
        rows=what.shape[0],
    )
    before: deque[tuple[int, Array, Sums]] = deque(maxlen=ages)
    for step, x in what.matrices(layer, rank):
        norms = np.sqrt(np.square(x, dtype=np.float64).sum(axis=1))
        total = float(np.square(norms).sum())
        sums.squares[step] = total if np.isfinite(total) else np.nan
        for old_step, old, old_norms in before:
            if step - old_step <= ages and np.isfinite(total):
                age = step - old_step - 1
                distance = np.square(x - old, dtype=np.float64).sum(axis=1)
                _add(sums, step, age, (norms, old_norms, distance))
        before.append((step, x, norms))
    return sums


def _add(sums: _Rank, step: int, age: int, rows: tuple[Sums, Sums, Sums]) -> None:
    """Of one step and age: each row's norm, that of the old one, and their squared distance."""
    norms, old_norms, distance = rows
    relative = ratio(np.sqrt(distance), norms)
    sums.flat[step, age] = distance.sum(), relative.sum(), cosine(norms, old_norms, distance).sum()
    by_token = relative.reshape(-1, sums.tokens.shape[1])
    there = np.isfinite(by_token)
    sums.tokens[age] += np.where(there, by_token, 0.0).sum(axis=0)
    sums.counted[age] += there.sum(axis=0)
