"""What a page is about: traces of one piece of work, by the names that the page gives them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from traces.errors import TraceError
from traces.trace import Trace


@dataclass(frozen=True)
class Subject:
    """A trace, cut to the steps that all ranks completed, and what there was to be."""

    trace: Trace
    steps: int  # as many as there were to be
    problems: tuple[str, ...] = ()  # what the recording lost, a sentence each

    @property
    def whole(self) -> bool:
        """Whether its total is that of the whole run."""
        return self.trace.run.steps == self.steps


def subject(name: str, whole: Trace, common: Trace) -> Subject:
    """Of a trace and its common steps. Raises TraceError where nothing happened in them."""
    stream = common.ops[common.ops["stream"] == "compute"]
    if not (stream["end_s"] > 0).any():
        raise TraceError(f"{name}: no rank computed or waited, so there is nothing to report")
    more = [problem for problem in common.problems if problem not in whole.problems]
    return Subject(common, whole.run.steps, (*whole.problems, *more))


def labels(paths: Sequence[Path]) -> dict[str, Path]:
    """Traces by their folders' names; by their paths where folders have the same name."""
    different = list(dict.fromkeys(paths))
    names = Counter(path.absolute().name for path in different)
    return {
        path.absolute().name if names[path.absolute().name] == 1 else str(path): path
        for path in different
    }
