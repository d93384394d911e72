"""Which of several traces can be laid beside the first: those of the same pictures."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from traces.errors import InputError

if TYPE_CHECKING:
    from traces.trace import Trace


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
