"""Products of every step's activation with every other's, from one reading of the numbers.

Steps are so alike that the difference of their norms would be lost to rounding. So what is
multiplied is the first step and the change to each later one, y_0 = x_0, y_t = x_t - x_(t-1), of
which the distances of the x are sums.

Shapes: S steps, n numbers of each.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray

from analysis.tensors import BLOCK_BYTES, Array, Tensor

if TYPE_CHECKING:
    from analysis.gaps import Gaps

Matrix = NDArray[np.float64]
Flags = NDArray[np.bool_]

#: Steps' squared norms as far apart as this are not worked out from each other.
_ALIKE = 1e-2
#: Of each step, numbers that a core's cache holds for some tens of steps.
_COLUMNS = 16384


@dataclass(frozen=True)
class Gram:
    """Sums over all numbers of a layer.

    Attributes:
        squares: (S,), |x_t|^2.
        changes: (S, S), y_s . y_t.
        kept: (S,), whether there is any number of the step.
        finite: (S,), whether all its numbers are; the others count as equal to the step before.
    """

    squares: Matrix
    changes: Matrix
    kept: Flags
    finite: Flags

    @property
    def squared_distances(self) -> Matrix:
        """(S, S), |x_s - x_t|^2: the changes in between, and no others."""
        squares = np.zeros_like(self.changes)
        for first in range(len(squares) - 1):
            later = self.changes[first + 1 :, first + 1 :]
            squares[first, first + 1 :] = later.cumsum(axis=0).cumsum(axis=1).diagonal()
        squares = np.maximum(squares, 0.0)
        return squares + squares.T

    @property
    def squared_second_changes(self) -> Matrix:
        """(S,), |y_t - y_(t-1)|^2; NaN for the first two."""
        own = self.changes.diagonal()
        squares = np.full(len(own), np.nan)
        if len(own) > 2:
            between = self.changes.diagonal(1)[1:]
            squares[2:] = np.maximum(own[2:] + own[1:-1] - 2 * between, 0.0)
        return squares


def of_blocks(blocks: Iterable[Array], steps: int, device: torch.device | None = None) -> Gram:
    """From blocks (S, n), multiplied in float32 on a device, added up in float64.

    The device is the processor by default. What is not finite costs the step that has it only.
    """
    squares, changes = np.zeros(steps), np.zeros((steps, steps))
    kept, finite = np.zeros(steps, bool), np.ones(steps, bool)
    on = torch.device("cpu") if device is None else device
    for block in blocks:
        columns = _COLUMNS if on.type == "cpu" else max(1, block.shape[1])
        for low in range(0, block.shape[1], columns):
            some = block[:, low : low + columns]
            products = _products(some, on)
            if not np.isfinite(products.diagonal()).all():  # found out without another pass
                some, whole, any_kept = _held(some)
                kept, finite = kept | any_kept, finite & whole
                products = _products(some, on)
            else:
                kept[:] = True
            changes += products
            squares += _squares(some, products)
    return Gram(squares, changes, kept, finite)


def of_layer(
    tensor: Tensor,
    layer: int,
    gaps: Gaps,
    *,
    device: torch.device | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> tuple[Gram, Flags]:
    """A layer's, of all ranks that have it; and which steps (S,) may be used. Says why not in gaps.

    S is the run's steps: those that nobody kept are there, and may not be used.
    """
    steps, at = tensor.steps, np.array(tensor.kept_steps)
    squares, changes, usable = np.zeros(steps), np.zeros((steps, steps)), np.zeros(steps, bool)
    usable[at] = True
    gaps.add("not kept", layer, np.flatnonzero(~usable).tolist())
    for rank in tensor.ranks:
        blocks = tensor.blocks(rank, layer, block_bytes // 2)
        gram = of_blocks(_ahead(blocks), len(at), device)
        if not gram.kept.any():
            continue  # the layer is another rank's, as in a pipeline
        gaps.add(f"not kept by rank {rank}", layer, at[~gram.kept].tolist())
        unfinite = gram.kept & ~gram.finite
        gaps.add(f"NaN or infinity on rank {rank}", layer, at[unfinite].tolist())
        squares[at] += gram.squares
        changes[np.ix_(at, at)] += gram.changes
        usable[at] &= gram.finite
    return Gram(squares, changes, usable, usable), usable


def _ahead(blocks: Iterator[Array]) -> Iterator[Array]:
    """The same, each read while the one before is worked on."""
    with ThreadPoolExecutor(1) as reader:
        coming = reader.submit(next, blocks, None)
        while (block := coming.result()) is not None:
            coming = reader.submit(next, blocks, None)
            yield block


def _held(some: Array) -> tuple[Array, Flags, Flags]:
    """Steps that are not finite become the one before; (these, which were finite, which kept)."""
    whole = np.asarray(np.isfinite(some).all(axis=1))
    kept = np.asarray(~np.isnan(some).all(axis=1))
    held = some.copy()
    for step in np.flatnonzero(~whole):
        held[step] = held[step - 1] if step else 0.0
    return held, whole, kept


def _squares(some: Array, products: Matrix) -> Matrix:
    """(S,), |x_t|^2 of a block: from its products, where that is exact enough."""
    squares: Matrix = products.cumsum(axis=0).cumsum(axis=1).diagonal()
    if (squares > _ALIKE * squares.max(initial=0.0)).all():
        return squares
    exact: Matrix = np.square(some, dtype=np.float64).sum(axis=1)
    return exact


def _products(some: Array, device: torch.device) -> Matrix:
    """(S, S) of the changes in a block."""
    changes = np.empty_like(some)  # np.diff would copy once more
    changes[:1] = some[:1]
    np.subtract(some[1:], some[:-1], out=changes[1:])
    if device.type == "cpu":
        # numpy sees that both are the same, and does half the work; torch does not.
        return (changes @ changes.T).astype(np.float64)
    there = torch.from_numpy(changes).to(device)
    products: Matrix = (there @ there.T).double().cpu().numpy()
    return products
