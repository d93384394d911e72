"""How far off a prediction may be: as far as predictions of the published record were."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from simnet.schedules.base import TeamSchedule
from simnet.schedules.named import innermost
from simnet.schedules.outer import CfgParallel

#: Of `thinwire validate published`: docs/accuracy.md has the same table, and a test compares.
RECORD = Path(__file__).with_name("data") / "accuracy.csv"

#: What the published record calls schedules; others go by their own names.
_CALLED = {"usp": "ulysses+ring", "tensor": "tp"}
_EVERYTHING, _CODED = "all", "coded"


class Error(NamedTuple):
    """Of predictions, relative to what was published; absolute values."""

    strategy: str
    rows: int
    median: float
    p90: float


class Interval(NamedTuple):
    """Where nine of ten published latencies were that were predicted to be in the middle."""

    low_s: float
    high_s: float

    def overlaps(self, other: Interval) -> bool:
        """Then which one is faster is not known."""
        return self.low_s <= other.high_s and other.low_s <= self.high_s


@cache
def record() -> dict[str, Error]:
    """By strategy."""
    with RECORD.open(newline="", encoding="utf-8") as file:
        rows = [
            Error(row["strategy"], int(row["rows"]), float(row["median"]), float(row["p90"]))
            for row in csv.DictReader(file)
        ]
    return {row.strategy: row for row in rows}


def error(chosen: TeamSchedule) -> Error:
    """Of runs with this strategy; of all where none, or nothing like it, was published.

    With a codec no better than what is coded, nor than CompactFusion's runs.
    """
    inner: Any = innermost(chosen)
    guided = "+cfg" if isinstance(getattr(chosen, "inner", chosen), CfgParallel) else ""
    guided = "+cfg" if isinstance(chosen, CfgParallel) else guided
    known = record()
    name = _CALLED.get(inner.name, inner.name) + guided
    found = known.get(name, known[_EVERYTHING])
    if getattr(inner, "codec", None) is None:
        return found
    return max(found, known[_CODED], key=lambda row: row.p90)


def interval(total_s: float, of: Error) -> Interval:
    """Of what was published p, predictions are within p (1 - e) and p (1 + e)."""
    return Interval(total_s / (1 + of.p90), total_s / (1 - of.p90))
