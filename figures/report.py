"""`thinwire report`: traces, their figures and tables in one page that opens from disk."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from simnet.commands.output import open_common, with_progress
from traces.errors import InputError
from traces.files import replaceable, replacing
from traces.trace import Trace

if TYPE_CHECKING:
    from figures.catalogue import Made, Skipped
    from figures.page.subject import Subject


def report(
    traces: Annotated[list[Path], Parameter(negative="")],
    *,
    out: Annotated[Path, Parameter(alias="-o")] = Path("report.html"),
) -> None:
    """Bind traces, their figures and tables into one page, to open in any browser.

    ```
    thinwire report T U --out report.html
    ```

    The page holds all that it shows: a timeline to zoom into, figures, tables to sort and to take
    along, and the commands that make them again. Traces must be of the same model, steps and
    images; the first is what others are compared with. Of an incomplete trace, the steps that all
    ranks completed are told of. `docs/report.md` says how to read it.

    Parameters
    ----------
    traces
        Traces: folders that `thinwire run` made.
    out
        File to write, .html; one that is there is replaced.
    """
    from figures.comparable import check_same_work
    from figures.page.subject import labels, subject

    paths = labels(traces)
    _check(out, list(paths.values()))
    subjects = {
        name: subject(name, Trace.open(path), open_common(path)) for name, path in paths.items()
    }
    # Before figures are drawn, which takes a while.
    check_same_work({name: (one.trace.run, one.steps) for name, one in subjects.items()})
    write(subjects, out)
    print(out)


def write(subjects: Mapping[str, Subject], out: Path) -> None:
    """Make the figures, under a progress bar, and write the page, whole or not at all.

    Raises InputError as figures.page.binding.page does, and where `out` is not free.
    """
    from figures.page.binding import page

    folders = [str(subject.trace.folder or "TRACE") for subject in subjects.values()]
    command = ["thinwire", "report", *folders, "--out", str(out)]
    made = page(subjects, _figures({name: each.trace for name, each in subjects.items()}), command)
    with replacing(out) as temporary:
        temporary.write_bytes(made)


def _figures(traces: Mapping[str, Trace]) -> Iterator[Made | Skipped]:
    from figures.catalogue import Inputs, outcomes, planned

    inputs = Inputs(traces)
    return with_progress("drawing", outcomes(inputs), len(planned(inputs)))


def _check(out: Path, traces: Sequence[Path]) -> None:
    """Raises InputError where the page could not be written: before the work, not after it."""
    if out.suffix.lower() not in (".html", ".htm"):
        raise InputError(f"report {str(out)!r}: the name must end in .html")
    for trace in traces:
        if out.resolve().is_relative_to(trace.resolve()):
            raise InputError(f"report {str(out)!r} would lie in the trace {str(trace)!r}")
    replaceable(out)
