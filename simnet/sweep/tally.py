"""How many of a sweep's points were made by what, and why the others were not."""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np

from simnet.sweep.results import EVALUATORS, Outcome
from simnet.sweep.store import DISCRETE_EVENT, IMPOSSIBLE, VECTORISED


class Tally:
    """Counts outcomes."""

    def __init__(self) -> None:
        self.evaluators: Counter[int] = Counter()
        self.reasons: Counter[str] = Counter()

    def add(self, outcome: Outcome) -> None:
        """All points of a case."""
        kinds, counts = np.unique(outcome.rows["evaluator"], return_counts=True)
        self.evaluators.update(dict(zip(kinds.tolist(), counts.tolist(), strict=True)))
        numbers = outcome.rows["reason"]
        for number, count in enumerate(np.bincount(numbers[numbers >= 0]).tolist()):
            if count:
                self.reasons[outcome.reasons[number]] += count

    @property
    def impossible(self) -> int:
        """Points that cannot run."""
        return self.evaluators[IMPOSSIBLE]

    def to_json(self) -> dict[str, Any]:
        """By evaluator and by reason, the most frequent one first."""
        made = {EVALUATORS[kind]: self.evaluators[kind] for kind in (VECTORISED, DISCRETE_EVENT)}
        return {
            "evaluators": made,
            "cannot_run": self.impossible,
            "reasons": dict(self.reasons.most_common()),
        }
