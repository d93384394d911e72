"""What a table of the lab amounts to: errors, orderings, and whether they are small enough."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import TYPE_CHECKING, Any

from scipy.stats import kendalltau

from simnet.validation.lab_row import FAILED

if TYPE_CHECKING:
    import pandas as pd

#: At most, of all cases' errors: the middle one, and that which nine of ten do not exceed.
MEDIAN_BAR, P90_BAR = 0.05, 0.12
#: At least: how alike measured and predicted orders are inside a network, on average.
TAU_BAR = 0.95
#: Two runs whose latencies differ by less may well come in the other order next time: nine of ten
#: runs differ by less from the same run on another day.
ALIKE = 0.02


@dataclass(frozen=True)
class Report:
    """Cases of one kind. Errors are in parts of what was measured; None where there is nothing.

    `kendall_tau` is the mean over networks of Kendall's tau between measured and predicted
    latencies, over pairs of runs that are not ALIKE, and `least_tau` the smallest; `tau_b` is the
    mean of tau-b over all pairs. `best_method_right` is in what part of the groups, each
    of one model on one network, the method that is predicted to be the fastest is.
    """

    suite: str
    cases: int
    median_abs_error: float | None
    p90_abs_error: float | None
    kendall_tau: float | None
    least_tau: float | None
    tau_b: float | None
    best_method_right: float | None
    op_finish_error: float | None  # the median of the cases'
    failed: tuple[str, ...]  # each with the reason

    @property
    def passed(self) -> bool:
        """No case has failed, and errors and orderings reach their bars."""
        median, p90, tau = self.median_abs_error, self.p90_abs_error, self.kendall_tau
        if self.failed or median is None or p90 is None:
            return False
        return median <= MEDIAN_BAR and p90 <= P90_BAR and (tau is None or tau >= TAU_BAR)

    def to_json(self) -> dict[str, Any]:
        """Plain types."""
        return {
            "suite": self.suite,
            "cases": self.cases,
            "median_abs_error": self.median_abs_error,
            "p90_abs_error": self.p90_abs_error,
            "kendall_tau": self.kendall_tau,
            "least_kendall_tau": self.least_tau,
            "kendall_tau_b_of_all_pairs": self.tau_b,
            "best_method_right": self.best_method_right,
            "op_finish_error": self.op_finish_error,
            "failed": list(self.failed),
            "pass": self.passed,
        }


def reports(table: pd.DataFrame) -> list[Report]:
    """Of all cases, and of each way to compute where there are several."""
    ways = list(dict.fromkeys(table["compute"]))
    parts = [report("lab", table)]
    if len(ways) > 1:
        parts += [report(f"lab, {way}", table[table["compute"] == way]) for way in ways]
    return parts


def report(suite: str, table: pd.DataFrame) -> Report:
    """Of a table as simnet.validation.lab_row.COLUMNS."""
    bad = table["flags"].str.startswith(FAILED)
    rows = table[~bad]
    errors = rows["error"].abs()
    taus = list(_taus(rows))
    right = list(_best_right(rows))
    return Report(
        suite,
        len(rows),
        _value(float(errors.median())),
        _value(float(errors.quantile(0.9))),
        kendall_tau=_mean(taus),
        least_tau=min(taus, default=None),
        tau_b=_mean(list(_tau_bs(rows))),
        best_method_right=_mean(right),
        op_finish_error=_value(float(rows["op_finish_error"].median())),
        failed=tuple(map(_failure, table[bad].to_dict("records"))),
    )


def _taus(rows: pd.DataFrame) -> Iterator[float]:
    """Of pairs in the same order, less pairs in the other one, as a part of all that count."""
    for _, alike in rows.groupby("network", sort=False):
        pairs = combinations(zip(alike["measured_s"], alike["predicted_s"], strict=True), 2)
        orders = [
            math.copysign(1, a - b) * ((p > q) - (p < q))
            for (a, p), (b, q) in pairs
            if abs(a - b) > ALIKE * min(a, b)
        ]
        if orders:
            yield sum(orders) / len(orders)


def _tau_bs(rows: pd.DataFrame) -> Iterator[float]:
    for _, alike in rows.groupby("network", sort=False):
        if len(set(alike["measured_s"])) > 1 and len(set(alike["predicted_s"])) > 1:
            yield float(kendalltau(alike["measured_s"], alike["predicted_s"]).statistic)


def _best_right(rows: pd.DataFrame) -> Iterator[bool]:
    for _, alike in rows.groupby(["network", "model", "compute"], sort=False):
        if len(alike) > 1:
            yield bool(alike["measured_s"].idxmin() == alike["predicted_s"].idxmin())


def _mean(numbers: Sequence[float]) -> float | None:
    return sum(numbers) / len(numbers) if numbers else None


def _value(number: float) -> float | None:
    return None if number != number else float(number)  # noqa: PLR0124 - nan, of nothing


def _failure(row: dict[Any, Any]) -> str:
    what = " ".join(str(row[name]) for name in ("network", "schedule", "codec", "compute"))
    return f"{what}: {str(row['flags']).removeprefix(FAILED)}"
