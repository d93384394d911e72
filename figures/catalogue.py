"""Every figure that some traces and tables give, made one after the other, or why it is not."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from figures.entries import FIGURES, Entry
from figures.sources import Inputs, Source
from traces.errors import InputError, TraceError, unknown

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

    from traces.trace import Trace

__all__ = ["FIGURES", "Inputs", "Made", "Skipped", "chosen", "made", "outcomes", "planned"]


@dataclass(frozen=True, slots=True)
class Made:
    """A figure that was drawn, and all that should stand beside it."""

    name: str  # unique among those made together: a file's name without its suffix
    title: str
    sentence: str
    kind: str  # measured, predicted or published; joined by " and " where several are in it
    table: pd.DataFrame
    figure: Figure
    command: str  # that makes it again


@dataclass(frozen=True, slots=True)
class Skipped:
    """A figure that these inputs do not give, and why."""

    name: str
    title: str
    why: str


def made(
    traces: Mapping[str, Trace] | Inputs, names: Sequence[str] = (), out: str = "figures"
) -> Iterator[Made]:
    """The figures that can be made, one after the other; see `outcomes`."""
    inputs = traces if isinstance(traces, Inputs) else Inputs(traces)
    return (found for found in outcomes(inputs, names, out) if isinstance(found, Made))


def outcomes(
    inputs: Inputs, names: Sequence[str] = (), out: str = "figures"
) -> Iterator[Made | Skipped]:
    """Every figure of the catalogue (or those of these names): made, or why not.

    `out` is the folder that the commands name. Raises InputError for an unknown name, and
    TraceError for a damaged trace.
    """
    for entry, source in planned(inputs, names):
        yield _outcome(entry, source, inputs, out)


def planned(inputs: Inputs, names: Sequence[str] = ()) -> list[tuple[Entry, Source]]:
    """What `outcomes` goes through; its length is what a progress bar needs."""
    return [(entry, source) for entry in chosen(names) for source in entry.sources(inputs)]


def chosen(names: Iterable[str]) -> list[Entry]:
    """Those of these names, in the catalogue's order; all, where none is given."""
    wanted = list(names)
    for name in wanted:
        if name not in FIGURES:
            raise unknown("figure", name, FIGURES)
    return [entry for entry in FIGURES.values() if not wanted or entry.name in wanted]


def _outcome(entry: Entry, source: Source, inputs: Inputs, out: str) -> Made | Skipped:
    label = source.label
    name = f"{entry.name}-{_file_name(label)}" if label else entry.name
    title = f"{entry.title}: {label}" if label else entry.title
    try:
        table = entry.table(source)
        figure = entry.draw(table)
    except TraceError:  # is damaged, which is no reason to go on as if nothing were
        raise
    except InputError as error:
        return Skipped(name, title, str(error))
    kind = " and ".join(dict.fromkeys(table["evidence"]))
    only = [inputs.traces[source.trace]] if source.trace else list(inputs.traces.values())
    return Made(name, title, entry.sentence, kind, table, figure, _command(entry, only, out))


def _command(entry: Entry, traces: Iterable[Trace], out: str) -> str:
    folders = [str(trace.folder or "TRACE") for trace in traces]
    words = ["thinwire", "figures", *folders, "--only", entry.name, "--out", out]
    return " ".join([shlex.join(words), *filter(None, [entry.options])])


def _file_name(label: str) -> str:
    return re.sub(r"[^A-Za-z0-9.+]+", "-", label).strip("-")
