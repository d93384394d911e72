"""One comparison with somebody else's simulator, and what came of it."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import KW_ONLY, dataclass, field
from typing import Protocol


class Compared(Protocol):
    """A time in both simulators; as text it says what of, and what it is in each."""

    @property
    def error(self) -> float:
        """Relative to the other simulator's."""
        ...


@dataclass(frozen=True)
class Result:
    """All that a suite compared, and the largest error that will do.

    `flows` is None where it is not single flows that are compared; `notes` are for people, a
    sentence each; `more` joins the JSON.
    """

    suite: str
    cases: int
    compared: Sequence[Compared]
    _: KW_ONLY
    limit: float
    flows: int | None
    notes: tuple[str, ...] = ()
    more: Mapping[str, object] = field(default_factory=dict)

    @property
    def max_error(self) -> float:
        """The largest one; 0 of nothing."""
        return max((each.error for each in self.compared), default=0.0)

    @property
    def median_error(self) -> float:
        """Half are smaller; 0 of nothing."""
        return statistics.median([each.error for each in self.compared] or [0.0])

    @property
    def p90_error(self) -> float:
        """Nine of ten are not larger; 0 of nothing."""
        errors = sorted(each.error for each in self.compared) or [0.0]
        return errors[math.ceil(0.9 * len(errors)) - 1]

    @property
    def passed(self) -> bool:
        """No error is above the limit."""
        return self.max_error <= self.limit

    @property
    def worst(self) -> str:
        """What has the largest error."""
        return str(max(self.compared, key=lambda each: each.error))

    def to_json(self) -> dict[str, object]:
        """For machines; an infinite error is null."""
        return {
            "suite": self.suite,
            "cases": self.cases,
            "flows": self.flows,
            "max_relative_error": _finite(self.max_error),
            "median_abs_error": _finite(self.median_error),
            "p90_abs_error": _finite(self.p90_error),
            "kendall_tau": None,  # flows and collectives are no methods to choose from
            "best_method_right": None,
            "limit": self.limit,
            "pass": self.passed,
            **self.more,
        }


class Suite(Protocol):
    """Something to compare with."""

    @property
    def name(self) -> str:
        """For tables."""
        ...

    def run(self) -> Result:
        """Simulate all of it; raises InputError for a file that will not do."""
        ...


def _finite(error: float) -> float | None:
    return error if math.isfinite(error) else None
