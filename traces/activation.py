"""Activations on disk as one labelled array that is read where it is indexed, and nowhere else."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core import indexing

from traces.errors import TraceError
from traces.part import Part
from traces.reading import kept_files

#: safetensors' name -> how numpy reads it; bfloat16, which numpy lacks, as its 16 bits.
DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BF16": "<u2", "I64": "<i8", "I32": "<i4"}
DTYPES |= {"I16": "<i2", "I8": "i1", "U8": "u1", "BOOL": "?"}


class Stored(NamedTuple):
    """Where a tensor lies."""

    path: Path
    offset: int
    dtype: str  # a key of DTYPES
    shape: tuple[int, ...]

    def read(self, key: tuple[Any, ...]) -> NDArray[np.float32]:
        """What `key` (an int, slice or list of indices a dimension) selects of it, as float32."""
        if 0 in self.shape:  # which cannot be mapped
            raw = np.zeros(self.shape, DTYPES[self.dtype])
        elif self._all(key):  # sooner read than mapped page by page
            count = math.prod(self.shape)
            flat = np.fromfile(self.path, DTYPES[self.dtype], count, offset=self.offset)
            raw = flat.reshape(self.shape)
        else:
            raw = np.memmap(self.path, DTYPES[self.dtype], "r", self.offset, self.shape)
        some = _select(raw, key)
        if self.dtype == "BF16":  # the upper half of a float32
            return (some.astype(np.uint32) << 16).view(np.float32)
        return some.astype(np.float32, copy=False)

    def _all(self, key: tuple[Any, ...]) -> bool:
        """Whether it selects every number."""
        parts = zip(key, self.shape, strict=True)
        return all(isinstance(part, slice) and part.indices(n) == (0, n, 1) for part, n in parts)


#: Of an activation, its tensors by (rank, step, layer).
Tensors = dict[tuple[int, int, int], Stored]
Catalogue = dict[str, Tensors]


def catalogue(parts: Mapping[int, Part], steps: int) -> Catalogue:
    """By name, every tensor that was kept; reads the files' headers only.

    Raises TraceError for a file that is damaged.
    """
    found: Catalogue = {}
    for rank, step, path in kept_files(parts, steps):
        for key, stored in _header(path).items():
            name, _, layer = key.rpartition("/")
            if not name or not re.fullmatch("-?[0-9]{1,9}", layer):
                raise TraceError(f"{path}: tensor {key!r}; expected a name like 'block/3'")
            found.setdefault(name, {})[rank, step, int(layer)] = stored
    return found


def labelled(name: str, tensors: Tensors) -> xr.DataArray:
    """The tensors as one lazy array; see Trace.activations. Raises TraceError if shapes differ."""
    first_key, first = next(iter(tensors.items()))
    for key, stored in tensors.items():
        if stored.shape != first.shape:
            raise TraceError(
                f"{stored.path}: activation {name!r} of layer {key[2]} has shape {stored.shape}, "
                f"but {first.shape} on rank {first_key[0]}, step {first_key[1]}, layer "
                f"{first_key[2]}; keep tensors of different shapes under different names"
            )
    labels = [sorted(set(axis)) for axis in zip(*tensors, strict=True)]
    lazy = indexing.LazilyIndexedArray(_Stack(labels, tensors, first.shape))
    names = ("rank", "step", "layer")
    dims = (*names, *(f"d{i}" for i in range(len(first.shape))))
    coords = dict(zip(names, labels, strict=True))
    return xr.DataArray(xr.Variable(dims, lazy), coords=coords, name=name)


class _Stack(BackendArray):
    """Tensors stacked along rank, step and layer; tells xarray how to read a selection."""

    def __init__(self, labels: list[list[int]], tensors: Tensors, shape: tuple[int, ...]) -> None:
        self.labels = labels
        self.tensors = tensors
        self.shape = (*map(len, labels), *shape)
        self.dtype = np.dtype(np.float32)

    def __getitem__(self, key: indexing.ExplicitIndexer) -> NDArray[np.float32]:
        support = indexing.IndexingSupport.OUTER
        some: NDArray[np.float32] = indexing.explicit_indexing_adapter(
            key, self.shape, support, self._read
        )
        return some

    def _read(self, key: tuple[Any, ...]) -> NDArray[np.float32]:
        outer = [np.asarray(axis)[part] for axis, part in zip(self.labels, key[:3], strict=True)]
        cells = np.array(np.meshgrid(*outer, indexing="ij")).reshape(3, -1).T
        inside = np.broadcast_to(np.float32(np.nan), self.shape[3:])
        missing = _select(inside, key[3:])
        out = np.empty((len(cells), *missing.shape), np.float32)
        for place, cell in enumerate(cells):
            stored = self.tensors.get((int(cell[0]), int(cell[1]), int(cell[2])))
            out[place] = missing if stored is None else stored.read(key[3:])
        return out.reshape((*(n for part in outer for n in part.shape), *missing.shape))


def _select(array: NDArray[Any], key: tuple[Any, ...]) -> NDArray[Any]:
    """Outer indexing: slices and integers first, as they copy nothing; then each index list."""
    whole = slice(None)
    view = array[tuple(whole if isinstance(part, np.ndarray) else part for part in key)]
    for axis, part in enumerate(part for part in key if not isinstance(part, int | np.integer)):
        if isinstance(part, np.ndarray):
            view = view.take(part, axis)
    return view


def _header(path: Path) -> dict[str, Stored]:
    """A file's tensors by key (the format: 8 bytes length, JSON, data)."""
    try:
        size = path.stat().st_size
        with path.open("rb") as file:
            length = min(int.from_bytes(file.read(8), "little"), size)
            entries = json.loads(file.read(length))
        entries.pop("__metadata__", None)
        return {key: _stored(path, 8 + length, size, entry) for key, entry in entries.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise TraceError(f"{path}: is damaged or no safetensors file: {error}") from error


def _stored(path: Path, base: int, size: int, entry: dict[str, Any]) -> Stored:
    dtype, shape = entry["dtype"], tuple(entry["shape"])
    start, stop = entry["data_offsets"]
    if dtype not in DTYPES:
        raise TraceError(f"{path}: tensors of {dtype} are not read; keep them as float32")
    if stop - start != math.prod(shape) * np.dtype(DTYPES[dtype]).itemsize or base + stop > size:
        raise ValueError("the file is cut short")
    return Stored(path, base + start, dtype, shape)
