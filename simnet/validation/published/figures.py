"""What predictions come to: sizes of errors, order of methods, and whether that will do."""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import NamedTuple


class Pair(NamedTuple):
    """One latency, or speedup, as it was published and as it is predicted; and of which group."""

    group: Hashable
    published: float
    predicted: float

    @property
    def error(self) -> float:
        """How far the prediction is off, as a part of what was published."""
        return abs(self.predicted / self.published - 1)


class Bar(NamedTuple):
    """The most that errors may be, and the least that orders must be; None: nothing is said."""

    median: float
    p90: float
    tau: float | None = None
    best: float | None = None


@dataclass(frozen=True)
class Figures:
    """One suite's."""

    suite: str
    cases: int
    median: float
    p90: float
    tau: float | None  # of methods inside groups of 3 or more, the groups' mean
    best: float | None  # share of these whose fastest method is predicted to be the fastest
    groups: int  # of 3 or more
    bar: Bar | None = None
    more: Mapping[str, object] = field(default_factory=dict)

    @property
    def passed(self) -> bool:
        """Whether it reaches its bar; one of nothing does not."""
        bar = self.bar
        if bar is None:
            return True
        least = ((self.tau, bar.tau), (self.best, bar.best))
        return (
            self.cases > 0
            and self.median <= bar.median
            and self.p90 <= bar.p90
            and all(value is None or wanted is None or value >= wanted for value, wanted in least)
        )

    def to_json(self) -> dict[str, object]:
        """For machines; what there is too little of to tell is null."""
        return {
            "suite": self.suite,
            "cases": self.cases,
            "median_abs_error": _finite(self.median),
            "p90_abs_error": _finite(self.p90),
            "kendall_tau": self.tau,
            "best_method_right": self.best,
            "groups": self.groups,
            "limits": None if self.bar is None else self.bar._asdict(),
            "pass": self.passed,
            **self.more,
        }


def figures(
    suite: str,
    pairs: Sequence[Pair],
    bar: Bar | None = None,
    more: Mapping[str, object] | None = None,
) -> Figures:
    """Of these pairs."""
    errors = [pair.error for pair in pairs]
    groups = [group for group in _by(lambda pair: pair.group, pairs).values() if len(group) > 2]
    taus = [tau for group in groups if (tau := kendall(group)) is not None]
    best = [best_is_right(group) for group in groups]
    return Figures(
        suite,
        len(pairs),
        statistics.median(errors) if errors else math.nan,
        percentile(errors, 0.9),
        statistics.fmean(taus) if taus else None,
        statistics.fmean(best) if best else None,
        len(groups),
        bar,
        more or {},
    )


def percentile(values: Iterable[float], share: float) -> float:
    """The smallest value that so large a share of them does not exceed; nan of nothing."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)] if ordered else math.nan


def kendall(group: Sequence[Pair]) -> float | None:
    """Kendall's tau-b (1945) of published and predicted; None where all of one are equal."""
    same = other = tied = predicted_tied = 0
    for one, two in combinations(group, 2):
        theirs, ours = one.published - two.published, one.predicted - two.predicted
        same += theirs * ours > 0
        other += theirs * ours < 0
        tied += theirs == 0
        predicted_tied += ours == 0
    pairs = math.comb(len(group), 2)
    root = math.sqrt((pairs - tied) * (pairs - predicted_tied))
    return (same - other) / root if root else None


def best_is_right(group: Sequence[Pair]) -> bool:
    """Whether what is predicted to be fastest was published as fast as any."""
    chosen = min(group, key=lambda pair: pair.predicted)
    return chosen.published == min(pair.published for pair in group)


def _by(key: Callable[[Pair], Hashable], pairs: Iterable[Pair]) -> dict[Hashable, list[Pair]]:
    found: dict[Hashable, list[Pair]] = {}
    for pair in pairs:
        found.setdefault(key(pair), []).append(pair)
    return found


def _finite(value: float) -> float | None:
    return value if math.isfinite(value) else None
