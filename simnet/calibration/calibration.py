"""What a network's measurements amount to: the model's numbers, and how well they fit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from simnet.network.collectives.selection import Efficient, Selection
from simnet.network.topology import Links, Medium

if TYPE_CHECKING:
    import pandas as pd

#: A duplex factor above it is nearer to half duplex than to full.
HALF_DUPLEX = 1.5


class Estimate(NamedTuple):
    """A number, and the interval in which it lies with 95 % confidence."""

    value: float
    low: float
    high: float


class Goodness(NamedTuple):
    """How far typical times of repetitions are from the model, as parts of the model's times.

    `large` counts the cells whose time is at least half for their bytes and that no burst hides;
    the median and the 90th percentile are theirs. `small_error` is the median error of the others.
    Where there are none, errors are None.
    """

    kind: str
    cells: int
    large: int
    median_error: float | None
    p90_error: float | None
    small_error: float | None


class Numbers(NamedTuple):
    """The terms of a link, and what helps to tell them.

    `duplex` is how much longer a byte takes while as many come the other way: 1 full duplex, 2
    half. `burst_bytes` is what passes at once after a rest (0: nothing is seen of it), or more: a
    token bucket may not get full between measurements.
    """

    rate_bps: Estimate
    latency_s: Estimate
    message_s: Estimate
    ready_s: Estimate
    duplex: Estimate
    burst_bytes: Estimate


@dataclass(frozen=True)
class Calibration:
    """Links that fit a network's measurements.

    `efficiency` by kind of collective is what `Efficient` takes, but may be above 1 here.
    `r_squared` is of the logarithms of the times between two ranks. `notes` say where the model
    does not fit. `cells` has what was measured beside what the model says of it (judge.COLUMNS).
    """

    ranks: int
    numbers: Numbers
    efficiency: Mapping[str, Estimate]
    collectives: Selection
    goodness: tuple[Goodness, ...]
    r_squared: float
    notes: tuple[str, ...]
    cells: pd.DataFrame = field(repr=False, compare=False)

    @property
    def half_duplex(self) -> bool:
        """Whether both directions of a link share its rate, rather than each having it."""
        return self.numbers.duplex.value > HALF_DUPLEX

    def network(self, name: str, source: Mapping[str, Any]) -> Links | Medium:
        """For the simulator and for a file: a medium for two ranks that share a link's rate.

        `source` is what is known of the measurements; intervals and goodness join it.
        """
        kind = Medium if self.half_duplex and self.ranks == 2 else Links
        efficiency = {name: min(1.0, part.value) for name, part in self.efficiency.items()}
        return kind(
            name,
            rate_bps=self.numbers.rate_bps.value,
            latency_s=self.numbers.latency_s.value,
            message_s=self.numbers.message_s.value,
            ready_s=self.numbers.ready_s.value,
            burst_bytes=self.numbers.burst_bytes.value,
            collectives=Efficient(self.collectives, efficiency) if efficiency else self.collectives,
            source={**source, **self._certainty()},
        )

    def to_json(self) -> dict[str, Any]:
        """All but the cells, as JSON takes it."""
        return {
            "ranks": self.ranks,
            **{name: part._asdict() for name, part in self.numbers._asdict().items()},
            "efficiency": {kind: part._asdict() for kind, part in self.efficiency.items()},
            "collectives": self.collectives.name,
            "half_duplex": self.half_duplex,
            "goodness": [line._asdict() for line in self.goodness],
            "r_squared": self.r_squared,
            "notes": list(self.notes),
        }

    def _certainty(self) -> dict[str, Any]:
        parts = {**self.numbers._asdict(), **self.efficiency}
        errors = {line.kind: line.median_error for line in self.goodness}
        return {
            "burst_bytes": self.numbers.burst_bytes.value,
            "interval_95_percent": {name: [part.low, part.high] for name, part in parts.items()},
            "median_error": {kind: error for kind, error in errors.items() if error is not None},
            "r_squared": self.r_squared,
            "notes": list(self.notes),
        }
