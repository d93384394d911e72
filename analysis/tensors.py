"""Kept activations under the names that analyses use, as rows that fit into memory.

Shapes: S steps that were kept, N rows (tokens of all images of a rank), C channels.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from traces.errors import InputError, unknown

if TYPE_CHECKING:
    import xarray as xr

    from traces.trace import Trace

Array = NDArray[np.float32]

#: Of what is held of all steps at once; two blocks, if one is read ahead.
BLOCK_BYTES = 128 << 20
#: Kept, but no activations: how old the experts' outputs were, which slots found no room, and
#: which classes are drawn.
_NO_ACTIVATION = {"age", "dropped", "label"}
_ROUTING = "chosen"
_GATE = {_ROUTING, "scores"}
_PACKED = {"k": 0, "v": 1}  # of "kv"


class Layout(Protocol):
    """What the axes of one step's array mean."""

    def pieces(self, shape: tuple[int, ...], most: int) -> Iterator[tuple[slice, ...]]:
        """Cuts that make an array of this shape into pieces of at most so many numbers."""
        ...

    def matrix(self, x: Array) -> Array:
        """(S, ...) as (S, N, C)."""
        ...

    def tokens(self, shape: tuple[int, ...]) -> int:
        """How many of the N rows are of one image, whose tokens follow each other."""
        ...


@dataclass(frozen=True)
class Rows:
    """(..., T, C): images first, and channels last."""

    def pieces(self, shape: tuple[int, ...], most: int) -> Iterator[tuple[slice, ...]]:
        """See Layout."""
        return pieces(shape, most)

    def matrix(self, x: Array) -> Array:
        """See Layout."""
        return x.reshape(len(x), -1, x.shape[-1] if x.ndim > 1 else 1)

    def tokens(self, shape: tuple[int, ...]) -> int:
        """See Layout."""
        return shape[-2] if len(shape) > 1 else 1


@dataclass(frozen=True)
class Heads:
    """(B, H, T, D): a row is a token, with the channels of all its heads, as codecs take it."""

    def pieces(self, shape: tuple[int, ...], most: int) -> Iterator[tuple[slice, ...]]:
        """See Layout."""
        return pieces(shape, most)

    def matrix(self, x: Array) -> Array:
        """See Layout."""
        steps, batch, heads, tokens, width = x.shape
        return x.swapaxes(2, 3).reshape(steps, batch * tokens, heads * width)

    def tokens(self, shape: tuple[int, ...]) -> int:
        """See Layout."""
        return shape[2]


@dataclass(frozen=True)
class OneHot:
    """(N, k) numbers of experts: a row is a token, with 1 for each expert that it chose."""

    experts: int  # E, the channels

    def pieces(self, shape: tuple[int, ...], most: int) -> Iterator[tuple[slice, ...]]:
        """See Layout."""
        return pieces(shape[:1], most // self.experts)

    def matrix(self, x: Array) -> Array:
        """See Layout; NaN where there was no choice."""
        hot = (x[..., None] == np.arange(self.experts, dtype=np.float32)).sum(axis=2)
        return np.where(np.isnan(x[..., :1]), np.float32(np.nan), hot.astype(np.float32))

    def tokens(self, shape: tuple[int, ...]) -> int:
        """See Layout."""
        return shape[0]


@dataclass(frozen=True)
class Tensor:
    """What was kept of one activation.

    Attributes:
        name: one of `names`.
        array: dims (rank, step, layer, ...), read where it is indexed.
        layout: what the other axes are.
        steps: of the run, kept or not.
    """

    name: str
    array: xr.DataArray
    layout: Layout
    steps: int

    @property
    def ranks(self) -> list[int]:
        """That kept it at all."""
        return [int(rank) for rank in self.array["rank"]]

    @property
    def layers(self) -> list[int]:
        """At which it was kept; -1 is outside the layers."""
        return [int(layer) for layer in self.array["layer"]]

    @property
    def kept_steps(self) -> list[int]:
        """At which some rank kept it at some layer."""
        return [int(step) for step in self.array["step"]]

    @property
    def cell(self) -> tuple[int, ...]:
        """The shape of one array, as it was kept."""
        return self.array.shape[3:]

    @property
    def shape(self) -> tuple[int, int]:
        """(N, C)."""
        unread = np.broadcast_to(np.float32(0), (1, *self.cell))
        _, rows, channels = self.layout.matrix(unread).shape
        return rows, channels

    def blocks(self, rank: int, layer: int, block_bytes: int = BLOCK_BYTES) -> Iterator[Array]:
        """All kept steps of a rank's layer, (S, n), a few numbers of every step at a time."""
        most = max(1, block_bytes // (4 * max(1, self.array.sizes["step"])))
        chosen = self._of(rank, layer)
        for piece in self.layout.pieces(self.cell, most):
            some = chosen[(slice(None), *piece)].to_numpy()
            yield self.layout.matrix(some).reshape(len(some), -1)

    def matrices(self, layer: int, *ranks: int) -> Iterator[tuple[int, Array]]:
        """(step, matrix) of a layer, one kept step after the other; NaN where it was not kept.

        (N, C) for each rank, one below the other.
        """
        chosen = [self._of(rank, layer) for rank in ranks]
        for place, step in enumerate(self.kept_steps):
            parts = [self.layout.matrix(of[place : place + 1].to_numpy())[0] for of in chosen]
            yield step, parts[0] if len(parts) == 1 else np.concatenate(parts)

    def holders(self, layer: int) -> list[int]:
        """Ranks that kept anything of a layer: in a pipeline, each has its own layers."""
        return [
            rank
            for rank in self.ranks
            if any(not np.isnan(x).all() for _, x in self.matrices(layer, rank))
        ]

    def _of(self, rank: int, layer: int) -> xr.DataArray:
        return self.array.sel(rank=rank, layer=layer)


def changes(matrices: Iterable[tuple[int, Array]]) -> Iterator[tuple[int, list[Array]]]:
    """(step, [x_t, x_t - x_(t-1), x_t - 2 x_(t-1) + x_(t-2)]), as far as there are steps before."""
    last: tuple[int, list[Array]] = (-2, [])
    for step, x in matrices:
        orders = [x]
        if last[0] == step - 1:
            for before in last[1][:2]:
                orders.append(orders[-1] - before)
        yield step, orders
        last = (step, orders)


def names(trace: Trace) -> tuple[str, ...]:
    """What `tensor` takes: the kept activations, with "k" and "v" for "kv"."""
    kept = [name for name in trace.kept() if name not in _NO_ACTIVATION]
    return tuple(sorted({part for name in kept for part in (_PACKED if name == "kv" else [name])}))


def sent(trace: Trace) -> tuple[str, ...]:
    """Those of `names` that ranks send each other: not what a gate says of experts."""
    return tuple(name for name in names(trace) if name not in _GATE)


def tensor(trace: Trace, name: str) -> Tensor:
    """Of a trace, the activation of this name. Raises InputError where it was not kept."""
    if name not in names(trace):
        if not trace.kept():
            raise InputError(f"{name!r}: no activations were kept; record them with --keep")
        raise unknown("kept tensor", name, names(trace))
    source = "kv" if name in _PACKED and name not in trace.kept() else name
    array = trace.activations(source)
    if source == "kv" and array.ndim - 3 != 5:
        raise InputError(
            f"'kv' has {array.ndim - 3} axes, expected (k or v, images, heads, tokens, channels)"
        )
    layout: Layout = Rows()
    if source == "kv":
        array, layout = array[:, :, :, _PACKED[name]], Heads()
    elif name == _ROUTING:
        layout = OneHot(_experts(trace, array))
    return Tensor(name, array, layout, trace.run.steps)


def grid(trace: Trace) -> tuple[int, int, int] | None:
    """Tokens of the run's model in time, down and across; None for a model that is not known."""
    from simnet.models.presets import PRESETS

    shape = PRESETS.get(trace.run.model)
    return None if shape is None else shape.grid


def _experts(trace: Trace, chosen: xr.DataArray) -> int:
    """As many as there are scores for, or as the model has; else up to the greatest chosen."""
    from simnet.models.presets import PRESETS

    if "scores" in trace.kept():
        return trace.activations("scores").shape[-1]
    known: Mapping[str, Any] = PRESETS
    experts = getattr(known.get(trace.run.model), "experts", None)
    return experts.count if experts is not None else int(np.nanmax(chosen.to_numpy())) + 1


def pieces(shape: tuple[int, ...], most: int) -> Iterator[tuple[slice, ...]]:
    """Cuts of an array of this shape into pieces of at most so many numbers, or of one."""
    if not shape:
        yield ()
        return
    inner = math.prod(shape[1:])
    if inner > most:
        for first in range(shape[0]):
            for rest in pieces(shape[1:], most):
                yield (slice(first, first + 1), *rest)
        return
    count = max(1, most // max(1, inner))
    for low in range(0, shape[0], count):
        yield (slice(low, low + count),)
