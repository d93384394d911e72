"""Why there is no number at some steps and layers, in words."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

#: Sentences; more are counted only.
_MOST = 12


@dataclass
class Gaps:
    """Collects reasons by layer and step; `text` is for the attribute "gaps" of a result.

    Attributes:
        problems: what the whole trace lacks, such as a rank; sentences.
        found: by reason and layer, steps.
    """

    problems: tuple[str, ...] = ()
    found: dict[str, dict[int, set[int]]] = field(default_factory=dict)

    def add(self, reason: str, layer: int, steps: Iterable[int]) -> None:
        """At these steps of the layer; none: there is no gap."""
        if at := set(steps):
            self.found.setdefault(reason, {}).setdefault(layer, set()).update(at)

    @property
    def text(self) -> str:
        """A sentence for each reason; "" where nothing is missing."""
        lines = [*self.problems, *self._lines()]
        more = [f"and {len(lines) - _MOST} more"] if len(lines) > _MOST else []
        return "; ".join([*lines[:_MOST], *more])

    def _lines(self) -> Iterator[str]:
        for reason, at in self.found.items():
            alike: dict[str, list[int]] = {}
            for layer, steps in at.items():
                alike.setdefault(_spans(steps), []).append(layer)
            for steps_, layers in alike.items():
                yield f"layer {_spans(layers)}, step {steps_}: {reason}"


def _spans(numbers: Iterable[int]) -> str:
    """0, 1, 2 and 5 as "0 to 2, 5"."""
    spans: list[list[int]] = []
    for number in sorted(set(numbers)):
        if spans and number == spans[-1][1] + 1:
            spans[-1][1] = number
        else:
            spans.append([number, number])
    return ", ".join(f"{low}" if low == high else f"{low} to {high}" for low, high in spans)
