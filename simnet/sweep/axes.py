"""What a sweep varies: axes with a list of values each, or with a range to draw from."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from traces.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simnet.costs import MeasuredCosts
    from simnet.devices import Device
    from simnet.network.topology import Topology

#: Nobody waits for more, and indices stay small.
MOST_POINTS = 10**8


@dataclass(frozen=True, slots=True)
class Range:
    """Numbers from `low` to `high`: `points` of them, or any where a sample is drawn.

    Evenly apart, or if `log` with the same ratio between neighbours. Raises InputError for bounds
    that are not in order, and for a logarithmic range that begins at zero.
    """

    low: float
    high: float
    points: int | None
    log: bool

    def __post_init__(self) -> None:
        if not self.low < self.high < math.inf:
            raise InputError("expected `from` to be less than `to`, and both finite")
        if self.log and self.low <= 0:
            raise InputError('a range with scale = "log" cannot begin at zero; use "linear"')

    def values(self) -> tuple[float, ...]:
        """All of its points, in order, both ends among them."""
        assert self.points is not None
        space = np.geomspace if self.log else np.linspace
        return tuple(map(float, space(self.low, self.high, self.points)))

    def at(self, share: NDArray[np.float64]) -> NDArray[np.float64]:
        """From shares in [0, 1) of the way."""
        if not self.log:
            return np.asarray(self.low + share * (self.high - self.low))
        return np.asarray(self.low * (self.high / self.low) ** share)


class Processor(NamedTuple):
    """What computes: a device of the table, or a measured profile, `digest` being its content."""

    name: str
    digest: str
    device: Device | None = None
    costs: MeasuredCosts | None = None
    path: Path | None = None


class Joined(NamedTuple):
    """What joins the ranks: a preset, or a network file."""

    name: str
    topology: Topology
    path: Path | None = None


@dataclass(frozen=True, slots=True)
class Axis:
    """One thing that varies. `values` are all that it may have; of a `span` any number in it.

    `key` is its name in the file, `column` in the results; None stands for what is not changed:
    no codec, a schedule's own warm-up, a network's own rate.
    """

    key: str
    column: str
    values: tuple[Any, ...]
    span: Range | None = None

    def __len__(self) -> int:
        return len(self.values)

    @property
    def varies(self) -> bool:
        """Whether there is more than one."""
        return self.span is not None or len(self.values) > 1

    @property
    def labels(self) -> list[Any]:
        """Its values as results show them."""
        return [value.name if isinstance(value, Processor | Joined) else value for value in self]

    def __iter__(self) -> Iterator[Any]:
        return iter(self.values)


#: By their names in the file, and in results; the first of them say which graph of operations it
#: is, the others on what network it runs.
CASE_COLUMNS = {
    "models": "model",
    "schedules": "schedule",
    "codecs": "codec",
    "warmups": "warmup_steps",
    "ranks": "ranks",
    "gpus": "gpu",
    "batches": "batch",
    "steps": "steps",
    "dtypes": "dtype",
}
NETWORK_COLUMNS = {
    "networks": "network",
    "bandwidths": "bandwidth_bps",
    "latencies": "latency_s",
    "jitters": "jitter_s",
    "seeds": "seed",
}


@dataclass(frozen=True)
class Sweep:
    """What a file asks for. `sample` is grid, random or sobol; `points` and `seed` are a sample's.

    Raises InputError for more points than MOST_POINTS.
    """

    name: str
    sample: str
    seed: int
    axes: dict[str, Axis]  # by their names in the file
    drawn: int | None = None  # points of a sample

    def __post_init__(self) -> None:
        if self.points > MOST_POINTS:
            raise InputError(
                f"the sweep has {self.points} points, expected {MOST_POINTS} or fewer; leave "
                "values out, or draw a sample"
            )

    @property
    def points(self) -> int:
        """N, how many predictions."""
        return math.prod(map(len, self.axes.values())) if self.drawn is None else self.drawn

    @property
    def case_axes(self) -> list[Axis]:
        """Those that change the graph of operations or what they cost."""
        return [self.axes[key] for key in CASE_COLUMNS]

    @property
    def network_axes(self) -> list[Axis]:
        """Those that change the network alone."""
        return [self.axes[key] for key in NETWORK_COLUMNS]
