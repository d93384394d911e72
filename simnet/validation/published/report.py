"""The published record as suites: errors by strategy, link and model, and what was left out."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from simnet.validation.published.figures import Bar, Figures, Pair, figures
from simnet.validation.published.prediction import Missing, Predicted

#: Single node, PCIe and NVLink; tensor parallelism is outside it.
BAR = Bar(median=0.10, p90=0.25, best=0.80)
_LINKS = ("PCIe", "NVLink")
_WORST = 20


@dataclass(frozen=True)
class Report:
    """All rows on more than one GPU: predicted, or missing with a reason."""

    rows: Sequence[Predicted | Missing]

    @property
    def predicted(self) -> list[Predicted]:
        """Those that could be."""
        return [row for row in self.rows if isinstance(row, Predicted)]

    @property
    def inside(self) -> list[Predicted]:
        """Those that the bar is for."""
        return [row for row in self.predicted if _counts(row)]

    @property
    def worst(self) -> list[Predicted]:
        """The twenty that are furthest off, worst first."""
        return sorted(self.predicted, key=lambda row: -abs(row.error))[:_WORST]

    def missing(self) -> dict[str, int]:
        """Rows that could not be predicted, counted by the reason."""
        reasons = Counter(row.reason for row in self.rows if isinstance(row, Missing))
        return dict(reasons.most_common())

    def figures(self) -> Figures:
        """Of those inside the bar; the others beside it."""
        halves = {
            name: _figures(name, [row for row in self.inside if row.row.fitted is fitted])
            for name, fitted in (("fitted", True), ("held_out", False))
        }
        more: dict[str, object] = {
            "halves": {name: half.to_json() for name, half in halves.items()},
            "all_rows": _figures("all_rows", self.predicted).to_json(),
            "by_strategy": _shares(self.predicted, lambda row: row.strategy),
            "by_link": _shares(self.predicted, lambda row: row.link),
            "by_model": _shares(self.predicted, lambda row: row.model),
            "not_represented": self.missing(),
            "worst": [_worst(row) for row in self.worst],
        }
        return figures("published", _pairs(self.inside), BAR, more)

    def table(self) -> list[dict[str, Any]]:
        """A record for each row; published and predicted times in columns of their own."""
        return [_record(row) for row in self.rows]


def _counts(row: Predicted) -> bool:
    return row.link in _LINKS and "tp" not in row.strategy


def _figures(name: str, rows: Iterable[Predicted]) -> Figures:
    return figures(name, _pairs(rows))


def _pairs(rows: Iterable[Predicted]) -> list[Pair]:
    """Methods are compared where model, machine and software are the same."""
    return [
        Pair((row.row.group, row.row.build), row.row.latency_s or 0.0, row.seconds) for row in rows
    ]


def _shares(
    rows: Iterable[Predicted], key: Callable[[Predicted], str]
) -> dict[str, dict[str, object]]:
    parts: dict[str, list[Predicted]] = defaultdict(list)
    for row in rows:
        parts[key(row)].append(row)
    shares = {name: _figures(name, part) for name, part in sorted(parts.items())}
    return {
        name: {"cases": each.cases, "median_abs_error": each.median, "p90_abs_error": each.p90}
        for name, each in shares.items()
    }


def _worst(row: Predicted) -> dict[str, object]:
    return {
        "line": row.row.line,
        "row": str(row.row),
        "published_s": row.row.latency_s,
        "predicted_s": row.seconds,
        "error": row.error,
    }


def _record(each: Predicted | Missing) -> dict[str, Any]:
    row = each.row
    names = ("line", "source", "model", "resolution", "steps", "gpu", "link", "ngpu", "strategy")
    record: dict[str, Any] = {name: getattr(row, name) for name in names}
    record |= {"half": "fitted" if row.fitted else "held out", "published_s": row.latency_s}
    found = ("predicted_s", "error", "preset", "schedule", "not_represented")
    if isinstance(each, Missing):
        values: tuple[Any, ...] = (None, None, "", "", each.reason)
    else:
        values = (each.seconds, each.error, each.model, each.schedule, "")
    return record | dict(zip(found, values, strict=True))
