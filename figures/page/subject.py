"""What a page is about: traces of one piece of work, by the names that the page gives them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from traces.errors import InputError, TraceError
from traces.trace import Trace

#: What must be the same before two runs' times say anything about each other.
_SAME_WORK = ("model", "steps", "images")


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


def check_same_work(subjects: Mapping[str, Subject]) -> None:
    """Raises InputError, naming the first field that differs, for runs of different work."""
    (first, one), *others = subjects.items()
    for name, other in others:
        for field in _SAME_WORK:
            left, right = _meant(one, field), _meant(other, field)
            if left != right:
                raise InputError(
                    f"{first} and {name} are runs of different work, whose times cannot be "
                    f"compared: {field} is {left!r} and {right!r}; make a report of each"
                )


def _meant(subject: Subject, field: str) -> object:
    return subject.steps if field == "steps" else getattr(subject.trace.run, field)


def labels(paths: Sequence[Path]) -> dict[str, Path]:
    """Traces by their folders' names; by their paths where folders have the same name."""
    different = list(dict.fromkeys(paths))
    names = Counter(path.absolute().name for path in different)
    return {
        path.absolute().name if names[path.absolute().name] == 1 else str(path): path
        for path in different
    }
