"""Which step and layer an instant belongs to, by what the program called its own parts."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterable, Sequence
from typing import NamedTuple

#: The number is the step's, from whatever the recording began with.
_STEP = re.compile(r"(?:denois\w*|time|sampling)?[ _]?step[ _:#=-]*(\d{1,9})", re.IGNORECASE)
_PROFILER = re.compile(r"ProfilerStep#(\d{1,9})")
_MODULE = re.compile(r"nn\.Module: (\w*(?:Block|Layer)s?)_(\d{1,9})")
_LAYER = re.compile(r"([\w. ]*(?:block|layer)s?)[ ._:#=-]*(\d{1,9})", re.IGNORECASE)
#: What `torch.distributed.record_comm("step/layer/role")` was given.
_TAG = re.compile(r"(?:step)?[ _]?(\d{1,9})/(?:layer|block)?[ _]?(-?\d{1,9})/(.+)", re.DOTALL)


class Annotation(NamedTuple):
    """A named stretch of the main thread."""

    name: str
    start: float
    end: float


class Tag(NamedTuple):
    """Where a transfer said it belongs."""

    step: int
    layer: int
    role: str


class Place(NamedTuple):
    """`label` is what the program calls its layers, without their number; "" outside of them."""

    step: int
    layer: int
    label: str


def tag(name: str) -> Tag | None:
    """The step, layer and role in a transfer's own name, if it says so."""
    match = _TAG.fullmatch(name)
    return Tag(int(match[1]), max(int(match[2]), -1), match[3][:200]) if match else None


class Places:
    """Steps by annotations that name one, else by the profiler's, else by tags; else all one.

    Steps are counted from 0. What follows a step and precedes the next belongs to it; what precedes
    all, to -1. Layers are the outermost annotations, or modules recorded with their names, that are
    called block or layer and have a number: that number where all are called the same, else in the
    order in which they first appear.
    """

    def __init__(
        self, annotations: Iterable[Annotation], tags: Iterable[tuple[float, Tag]]
    ) -> None:
        named = sorted(annotations, key=lambda a: (a.start, -a.end))
        self._steps(named, tags)
        self._layers(named)
        edges = {*self.step_starts, *self.layer_starts, *self.layer_ends}
        #: Instants at which the place may change.
        self.edges = sorted(edges)

    def _steps(self, named: Sequence[Annotation], tags: Iterable[tuple[float, Tag]]) -> None:
        own = [(a.start, int(m[1])) for a in named if (m := _STEP.fullmatch(a.name))]
        profiler = [(a.start, int(m[1])) for a in named if (m := _PROFILER.fullmatch(a.name))]
        marks = own or profiler or sorted((at, tag.step) for at, tag in tags)
        changes = [
            at for i, (at, number) in enumerate(marks) if i == 0 or number != marks[i - 1][1]
        ]
        self.step_starts: list[float] = changes

    def _layers(self, named: Sequence[Annotation]) -> None:
        found = [
            (a, m)
            for pattern in (_LAYER, _MODULE)
            for a in named
            if (m := pattern.fullmatch(a.name))
        ]
        outer: list[tuple[Annotation, re.Match[str]]] = []
        for annotation, match in sorted(found, key=lambda f: (f[0].start, -f[0].end)):
            if not outer or annotation.start >= outer[-1][0].end:
                outer.append((annotation, match))
        labels = {match[1].strip() for _, match in outer}
        order: dict[tuple[str, str], int] = {}
        for _, match in outer:
            order.setdefault((match[1], match[2]), len(order))
        self.layer_starts = [annotation.start for annotation, _ in outer]
        self.layer_ends = [annotation.end for annotation, _ in outer]
        self.layer_names = [
            (int(m[2]) if len(labels) == 1 else order[m[1], m[2]], m[1].strip()[:200] or "layer")
            for _, m in outer
        ]

    @property
    def steps(self) -> int:
        """How many there are."""
        return max(1, len(self.step_starts))

    def at(self, instant: float) -> Place:
        """Where an instant on the main thread belongs."""
        step = bisect_right(self.step_starts, instant) - 1 if self.step_starts else 0
        i = bisect_right(self.layer_starts, instant) - 1
        if i < 0 or instant >= self.layer_ends[i]:
            return Place(step, -1, "")
        return Place(step, *self.layer_names[i])
