"""Tells whose trace a file is, and has it read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from traces.errors import InputError, TraceError, unknown
from traces.imports.ranks import distinct
from traces.imports.scan import opened

if TYPE_CHECKING:
    from traces.trace import Trace

FORMATS = ("kineto", "execution-trace", "chakra")
_LOOK = 2**16


def guess(path: Path) -> str:
    """One of FORMATS, by the file's name or beginning. Raises TraceError for anything else."""
    with opened(path) as file:
        head = file.read(_LOOK)
    text = head.lstrip()
    if not head:
        raise TraceError(f"{path}: is empty")
    if path.name.endswith((".et", ".et.gz")):
        return "chakra"
    if text.startswith(b"{"):
        if b'"nodes"' in text and b'"traceEvents"' not in text:
            return "execution-trace"
        return "kineto"
    if 0x0A in head[1:4]:  # GlobalMetadata begins with its version, field 1
        return "chakra"
    raise TraceError(
        f"{path}: is none of {', '.join(FORMATS)}; those are JSON objects and .et files"
    )


def read(
    files: Sequence[Path],
    *,
    format: str | None = None,  # noqa: A002 - the option's name
    model: str = "imported",
    in_order: bool = False,
) -> Trace:
    """The trace that these files of a run's ranks make; `format`: one of FORMATS, None to look.

    Raises InputError for files of several formats, TraceError as the reader of the format does.
    """
    traces = [path for path in distinct(files) if path.suffix != ".json" or format != "chakra"]
    found = format or _common(traces)
    if found == "kineto":
        from traces.kineto import importing as kineto

        return kineto.read(files, model=model, in_order=in_order)
    if found == "execution-trace":
        from traces.execution_trace import importing as execution_trace

        return execution_trace.read(files, model=model)
    if found == "chakra":
        from traces.chakra import reading as chakra

        return chakra.read(files, model=model, in_order=in_order)
    raise unknown("format", str(found), FORMATS)


def _common(files: Sequence[Path]) -> str:
    found = {path: guess(path) for path in files}
    if "chakra" in found.values():  # beside which a JSON file lists communicators
        found = {path: name for path, name in found.items() if path.suffix != ".json"}
    if len(set(found.values())) > 1:
        listed = ", ".join(f"{path} is {name}" for path, name in found.items())
        raise InputError(f"the files are of several formats: {listed}; import them apart")
    return next(iter(found.values()))
