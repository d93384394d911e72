"""Which traces can be laid beside each other: pictures of one noise, times of the same work."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from traces.errors import InputError

if TYPE_CHECKING:
    from traces.run import Run
    from traces.trace import Trace

#: What must be the same before two runs' times say anything about each other; and their steps.
_SAME_WORK = ("model", "images")


def comparable(traces: Mapping[str, Trace], kept: str) -> dict[str, Trace]:
    """Those that kept it, of the model, seed, images and steps of the first that did.

    Others start from another noise. Raises InputError where none kept it.
    """
    some = {label: trace for label, trace in traces.items() if kept in trace.kept()}
    if not some:
        raise InputError(f"no trace kept {kept}: record with --keep {kept}")
    first = _pictures_of(next(iter(some.values())))
    return {label: trace for label, trace in some.items() if _pictures_of(trace) == first}


def _pictures_of(trace: Trace) -> tuple[object, ...]:
    run = trace.run
    return run.model, run.seed, run.images, run.steps


def check_same_work(runs: Mapping[str, tuple[Run, int]]) -> None:
    """Raises InputError, naming the first field that differs, for runs of different work.

    Each is given with the steps that it was to have, of which its trace may have less.
    """
    (first, one), *others = runs.items()
    for name, other in others:
        for field in (*_SAME_WORK, "steps"):
            left, right = _meant(one, field), _meant(other, field)
            if left != right:
                raise InputError(
                    f"{first} and {name} are runs of different work, whose times cannot be "
                    f"compared: {field} is {left!r} and {right!r}; take each by itself"
                )


def _meant(run: tuple[Run, int], field: str) -> object:
    return run[1] if field == "steps" else getattr(run[0], field)
