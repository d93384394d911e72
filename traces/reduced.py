"""Activations of which a trace has sketches and moments: how alike their steps are, within a bound.

Shapes: S steps, m numbers of a sketch, N tokens, C channels.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from traces.errors import TraceError, unknown
from traces.likeness import squared_distances
from traces.reading import kept_files, reduced_name
from traces.reduced_file import Entry, ReducedFile, Settings

if TYPE_CHECKING:
    import xarray as xr

    from traces.part import Part

Array: TypeAlias = NDArray[np.float64]
#: By rank and layer, then by step.
_Entries: TypeAlias = dict[tuple[int, int], dict[int, Entry]]


def names(parts: Mapping[int, Part], steps: int) -> tuple[str, ...]:
    """Of which there are sketches, in order. Raises TraceError for a damaged file."""
    return tuple(sorted({name for _, file in _files(parts, steps) for name, _ in file.tensors()}))


def read(parts: Mapping[int, Part], steps: int, name: str) -> xr.Dataset:
    """All that is known of an activation x that was reduced; see Trace.sketches.

    Of dims (rank, layer, step): `kept`; `norm` |x_t|, exact, NaN where x_t was not finite;
    `second_residual_norm` |x_t - 2 x_(t-1) + x_(t-2)|. Of (rank, layer, step, other_step):
    `distance` |x_s - x_o| and `cosine`. Of (rank, layer, step, lag): `residual_norm`
    |x_t - x_(t-lag)|, exact, if that was asked for; distances of these lags are exact too. Of
    (rank, layer, step, token) and (..., channel): `token_rms` and `channel_rms`, to half precision.

    Attributes: `error`, what cosines, and `relative_error`, what distances and second residuals
    (over their own) are off by at most, for 95 of 100 pairs; `evidence` says so in words.

    Raises InputError for an unknown name, and TraceError for a damaged file, and for files that do
    not belong together.
    """
    import xarray as xr

    entries, settings = _entries(parts, steps, name)
    ranks, layers = (sorted(set(axis)) for axis in zip(*entries, strict=True))
    at = sorted({step for of in entries.values() for step in of})
    cells = {place: _cell(of, at, settings.lags) for place, of in entries.items()}
    found = {
        key: (
            ("rank", "layer", *dims),
            _stacked({place: cell[key] for place, cell in cells.items()}, ranks, layers),
        )
        for key, dims in _DIMS.items()
    }
    coords = {"rank": ranks, "layer": layers, "step": at, "other_step": at,
              "lag": list(range(1, settings.lags + 1))}  # fmt: skip
    dataset = xr.Dataset(found, coords, attrs=about(settings) | {"tensor": name})
    return dataset.assign(kept=dataset["kept"] == 1)


_DIMS: dict[str, tuple[str, ...]] = {
    "kept": ("step",),
    "norm": ("step",),
    "second_residual_norm": ("step",),
    "residual_norm": ("step", "lag"),
    "distance": ("step", "other_step"),
    "cosine": ("step", "other_step"),
    "token_rms": ("step", "token"),
    "channel_rms": ("step", "channel"),
}


def about(settings: Settings) -> dict[str, Any]:
    """Attributes of what comes from sketches."""
    error = settings.error
    return {
        "error": error,
        "relative_error": error / math.sqrt(2),
        "confidence": 0.95,
        "evidence": f"sketched, within ±{100 * error:g} %",
    }


def _files(parts: Mapping[int, Part], steps: int) -> Iterator[tuple[int, ReducedFile]]:
    """(rank, file) of complete steps; a rank's in order."""
    last: dict[int, int] = {}
    for rank, step, path in kept_files(parts, steps, reduced_name):
        file = ReducedFile(path, step)
        if file.after != last.get(rank, -1):
            raise TraceError(
                f"{path}: its sketches are changes since step {file.after}, whose file is missing"
            )
        last[rank] = step
        yield rank, file


def _entries(parts: Mapping[int, Part], steps: int, name: str) -> tuple[_Entries, Settings]:
    found: _Entries = {}
    first: ReducedFile | None = None
    for rank, file in _files(parts, steps):
        first = first or file
        if file.settings != first.settings:
            raise TraceError(
                f"{file.path}: was reduced with {file.settings}, but {first.path} with "
                f"{first.settings}: bring together what was recorded together"
            )
        for layer in (layer for known, layer in file.tensors() if known == name):
            entry = file.entry(name, layer)
            of = found.setdefault((rank, layer), {})
            _same_shape(entry, next(iter(of.values()), entry), file, f"{name}/{layer}")
            of[file.step] = entry
    if first is None or not found:
        raise unknown("sketched activation", name, names(parts, steps))
    return found, first.settings


def _same_shape(entry: Entry, first: Entry, file: ReducedFile, key: str) -> None:
    there, before = ((len(each.token), len(each.channel)) for each in (entry, first))
    if there != before:
        raise TraceError(f"{file.path}: {key} is {there}, and {before} in an earlier step")


def _cell(of: Mapping[int, Entry], at: list[int], lags: int) -> dict[str, Array]:
    """A layer of a rank: its variables, without the first two dims."""
    first = next(iter(of.values()))
    norms, kept, sketch = np.full(len(at), np.nan), np.zeros(len(at)), np.zeros(len(first.change))
    sketches = np.zeros((len(at), len(sketch)))
    rms = [np.full((len(at), len(each)), np.nan) for each in (first.token, first.channel)]
    exact = np.full((len(at), lags), np.nan)
    for place, entry in ((at.index(step), entry) for step, entry in of.items()):
        sketch += entry.change
        sketches[place], norms[place], kept[place] = sketch, math.sqrt(entry.squares), 1
        exact[place], rms[0][place], rms[1][place] = entry.lags, entry.token, entry.channel
    with np.errstate(all="ignore"):  # numbers that cannot be had are NaN
        squares = squared_distances(norms, sketches)
        _put_exact(squares, exact, at)
        return {
            "kept": kept,
            "norm": norms,
            "second_residual_norm": _second_residuals(sketches, norms, at),
            "residual_norm": np.sqrt(exact),
            "distance": np.sqrt(squares),
            "cosine": _cosines(norms, squares),
            "token_rms": rms[0],
            "channel_rms": rms[1],
        }


def _put_exact(squares: Array, exact: Array, at: list[int]) -> None:
    """Squared distances that are known, in the place of those from sketches."""
    places = {step: place for place, step in enumerate(at)}
    for place, lag in zip(*np.nonzero(np.isfinite(exact)), strict=True):
        other = places.get(at[place] - int(lag) - 1)
        if other is not None:
            squares[place, other] = squares[other, place] = exact[place, lag]


def _second_residuals(sketches: Array, norms: Array, at: list[int]) -> Array:
    """NaN where one of the three steps is missing or not finite."""
    found = np.full(len(at), np.nan)
    for place in range(2, len(at)):
        here = slice(place - 2, place + 1)
        if at[place] - at[place - 2] == 2 and np.isfinite(norms[here]).all():
            oldest, before, now = sketches[here]
            found[place] = np.linalg.norm((now - before) - (before - oldest))
    return found


def _cosines(norms: Array, squares: Array) -> Array:
    """NaN where a norm is 0 or none."""
    products = np.outer(norms, norms)
    off = squares - (norms[:, None] - norms) ** 2
    ratio = np.divide(off, 2 * products, where=products > 0, out=np.full_like(off, np.nan))
    found: Array = np.clip(1 - ratio, -1.0, 1.0)
    return found


def _stacked(cells: Mapping[tuple[int, int], Array], ranks: list[int], layers: list[int]) -> Array:
    """(rank, layer, ...); layers may have other numbers of tokens, and what is beyond is NaN."""
    inner = tuple(max(axis) for axis in zip(*(cell.shape for cell in cells.values()), strict=True))
    stacked = np.full((len(ranks), len(layers), *inner), np.nan)
    for (rank, layer), cell in cells.items():
        of = stacked[ranks.index(rank), layers.index(layer)]
        of[tuple(slice(n) for n in cell.shape)] = cell
    return stacked
