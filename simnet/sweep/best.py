"""What to run where: the fastest of the schedules and codecs, by bandwidth or by anything else."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from simnet.sweep.axes import CASE_COLUMNS, NETWORK_COLUMNS, Axis
from simnet.sweep.dataset import Arrays
from simnet.sweep.design import chosen

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: The axes that one chooses from; the others are what one has.
CHOICES = ("schedules", "codecs", "warmups")
_ACROSS = "bandwidths"


@dataclass(frozen=True, slots=True)
class Best:
    """The fastest choice at neighbouring bandwidths; None where nothing can run."""

    given: dict[str, Any]  # the other axes that vary, by column
    from_bps: float | None  # None where bandwidths do not vary
    to_bps: float | None
    choice: str | None  # "distrifusion:warmup_steps=4/residual-1bit"
    from_s: float | None  # its latency at both ends
    to_s: float | None

    def to_json(self) -> dict[str, Any]:
        """Plain types under the names of the fields."""
        return asdict(self)


def best(arrays: Arrays) -> Iterator[Best]:
    """Of a grid, in the order of its axes; made as it is asked for."""
    sweep = arrays.design.sweep
    axes = [sweep.axes[key] for key in CASE_COLUMNS | NETWORK_COLUMNS]
    keys = [axis.key for axis in axes]
    order = [
        *map(keys.index, CHOICES),
        *(n for n, key in enumerate(keys) if key not in (*CHOICES, _ACROSS)),
        keys.index(_ACROSS),
    ]
    moved = arrays.times["total_s"].reshape([len(axis) for axis in axes]).transpose(order)
    total_s = moved.reshape(-1, *moved.shape[len(CHOICES) :])  # (choices, ..., bandwidths)
    winner = np.where(np.isnan(total_s), np.inf, total_s).argmin(axis=0)
    names = [label for label, _ in choices(arrays)]
    others = [axes[n] for n in order[len(CHOICES) : -1]]
    for at in np.ndindex(winner.shape[:-1]):
        given = _given(others, at)
        line = np.take_along_axis(total_s[(slice(None), *at)], winner[at][None], axis=0)[0]
        yield from _runs(given, winner[at], line, (names, sweep.axes[_ACROSS]))


def _given(axes: list[Axis], at: tuple[int, ...]) -> dict[str, Any]:
    return {
        axis.column: axis.labels[place] for axis, place in zip(axes, at, strict=True) if axis.varies
    }


def _runs(
    given: dict[str, Any],
    winner: NDArray[np.int64],
    total_s: NDArray[np.float64],
    meaning: tuple[list[str], Axis],
) -> Iterator[Best]:
    """Neighbouring bandwidths with the same winner as one; -1 where nothing runs."""
    names, across = meaning
    shown = np.where(np.isnan(total_s), -1, winner)
    for run in np.split(np.arange(len(shown)), np.flatnonzero(np.diff(shown)) + 1):
        first, last = int(run[0]), int(run[-1])
        place, runs = int(shown[first]), shown[first] >= 0
        yield Best(
            given,
            across.values[first] if across.varies else None,
            across.values[last] if across.varies else None,
            names[place] if runs else None,
            float(total_s[first]) if runs else None,
            float(total_s[last]) if runs else None,
        )


def choices(arrays: Arrays) -> Iterator[tuple[str, tuple[int, ...]]]:
    """Everything to choose from, as a case names it, and its places on the axes of CHOICES."""
    axes = [arrays.design.sweep.axes[key] for key in CHOICES]
    for at in np.ndindex(tuple(map(len, axes))):
        schedule, codec, warmup = (axis.values[n] for axis, n in zip(axes, at, strict=True))
        yield chosen(schedule, codec, warmup), at


@dataclass(frozen=True, slots=True)
class Drawn:
    """What a sample says of a choice; None where none of its points can run."""

    choice: str
    points: int
    run: int
    median_s: float | None
    fastest_s: float | None

    def to_json(self) -> dict[str, Any]:
        """Plain types under the names of the fields."""
        return asdict(self)


def drawn(arrays: Arrays) -> Iterator[Drawn]:
    """Of a sample: each choice at the points that were drawn for it, which are others' not."""
    design = arrays.design
    places = np.unravel_index(arrays.cases, design.shape)
    keys = [axis.key for axis in design.sweep.case_axes]
    points: dict[str, NDArray[np.bool_]] = {}  # a warm-up that a schedule does not have is no other
    for name, at in choices(arrays):
        here = np.ones(len(arrays.cases), bool)
        for key, place in zip(CHOICES, at, strict=True):
            here &= places[keys.index(key)] == place
        points[name] = points.get(name, False) | here
    for name, here in points.items():
        total_s = arrays.times["total_s"][here]
        total_s = total_s[~np.isnan(total_s)]
        some = len(total_s) > 0
        yield Drawn(
            name,
            int(here.sum()),
            len(total_s),
            float(np.median(total_s)) if some else None,
            float(total_s.min()) if some else None,
        )
