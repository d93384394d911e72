"""A prediction many times over, each under other luck: a distribution instead of a number."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from traces.errors import InputError
from traces.summary import summarize

if TYPE_CHECKING:
    from simnet.network.conditions.under import Under
    from traces.summary import Summary
    from traces.trace import Trace

#: Of intervals in which the mean lies, when everything is done over and over again.
CONFIDENCE = 0.95


@dataclass(frozen=True, slots=True)
class Distribution:
    """What the totals of independent runs say, in seconds."""

    totals_s: tuple[float, ...]  # in the order of the runs
    mean_s: float
    median_s: float
    sd_s: float  # of the totals, not of their mean
    low_s: float  # 5 % quantile: between order statistics on a straight line
    high_s: float  # 95 %
    mean_low_s: float  # 95 % confidence interval of the mean
    mean_high_s: float

    @classmethod
    def of(cls, totals_s: Sequence[float]) -> Distribution:
        """The mean's interval is Student's: mean ± t(n - 1) sd / √n.

        It is exact for normal totals and good for others when n is 30 or so (Law 2015, Simulation
        Modeling and Analysis, section 4.5). Raises InputError for fewer than two totals.
        """
        import numpy as np
        from scipy.stats import t

        if len(totals_s) < 2:
            raise InputError(f"a distribution of {len(totals_s)} totals; expected 2 or more")
        totals = np.asarray(totals_s)
        low_s, median_s, high_s = map(float, np.quantile(totals, (0.05, 0.5, 0.95)))
        mean_s, sd_s = float(totals.mean()), float(totals.std(ddof=1))
        half_s = float(t.ppf((1 + CONFIDENCE) / 2, len(totals) - 1)) * sd_s / math.sqrt(len(totals))
        return cls(
            tuple(totals_s),
            mean_s,
            median_s,
            sd_s,
            low_s,
            high_s,
            mean_s - half_s,
            mean_s + half_s,
        )

    @property
    def median_run(self) -> int:
        """The number of the run in the middle; of two, the faster one."""
        order = sorted(range(len(self.totals_s)), key=self.totals_s.__getitem__)
        return order[(len(order) - 1) // 2]

    def to_json(self) -> dict[str, Any]:
        """Plain types under the names of the fields."""
        return asdict(self) | {"totals_s": list(self.totals_s)}


def seeds(under: Under, count: int) -> list[Under]:
    """The same conditions with this seed and those that follow it.

    Raises InputError where nothing is random, so that all would be equal.
    """
    if not under.conditions.random:
        raise InputError(
            f"{count} replications on {under.name!r} would all be equal, for nothing in it is "
            "random; ask for one, or for jitter, background or spells at random"
        )
    return [replace(under, seed=under.seed + number) for number in range(count)]


def replicate(predict: Callable[[Under], Trace], networks: Sequence[Under]) -> Iterator[Summary]:
    """The summary of a run on each, made as it is asked for; the traces are not kept."""
    return (summarize(predict(network)) for network in networks)
