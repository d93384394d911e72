"""`thinwire analyse`: everything that a trace's rows and activations tell, as files."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from simnet.commands.options import Json, TracePath, use_threads
from simnet.commands.output import open_trace, print_json, print_table, with_progress
from traces.errors import InputError

if TYPE_CHECKING:
    from analysis.catalogue import Analysis
    from traces.trace import Trace

#: Said of an analysis: its name, and its entry in the index or why there is none.
Outcome = tuple[str, dict[str, Any] | str]


def analyse(
    trace: TracePath,
    *,
    out: Annotated[Path, Parameter(alias="-o")],
    beside: Annotated[list[Path] | None, Parameter(negative="")] = None,
    threads: int | None = None,
    json: Json = False,
) -> None:
    """Analyse a trace: redundancy and compressibility of its activations, and where its time went.

    ```
    thinwire run --model dit-fashion --schedule single --ranks 1 --keep kv,hidden --out T
    thinwire analyse T --out analysed
    thinwire analyse T --beside U --out analysed
    ```

    Writes labelled arrays as NetCDF (.nc), tables as CSV, and index.json, which says what is in
    them and what did not apply. What an earlier analysis left in the folder is replaced.

    Parameters
    ----------
    trace
        A trace: the folder that `thinwire run` made.
    out
        Folder to write to.
    beside
        Traces of other runs of the model, such as with a codec: their paths over the steps are
        compared with this one's.
    threads
        Of the processor; by default as many as it has cores.
    json
        Print the index as JSON.
    """
    from analysis.catalogue import analyses
    from analysis.result_files import clear, write_index

    use_threads(threads)
    opened = open_trace(trace)
    others = {path.absolute().name: open_trace(path) for path in beside or ()}
    if out.resolve().is_relative_to(trace.resolve()):
        raise InputError(f"{out}: --out is, or lies in, the trace; name another folder")
    clear(out)
    every = [*analyses(opened), *_compared(opened, trace.absolute().name, others)]
    outcomes = (_outcome(each, opened, out) for each in every)
    found = list(with_progress(f"analysing {trace.absolute().name}", outcomes, len(every)))
    index = {
        "run": opened.run.to_json(),
        "problems": list(opened.problems),
        "beside": {name: other.run.to_json() for name, other in others.items()},
        "results": [entry for _, entry in found if isinstance(entry, dict)],
        "absent": [{"name": name, "why": why} for name, why in found if isinstance(why, str)],
    }
    write_index(out, index)
    if json:
        print_json(index)
    else:
        _print(index)


def _compared(trace: Trace, name: str, others: Mapping[str, Trace]) -> Iterator[Analysis]:
    """Trajectories of all traces together, for each tensor that this one kept."""
    from analysis.catalogue import Analysis, Kept
    from analysis.tensors import sent

    if name in others:
        raise InputError(f"--beside: two of the traces are called {name}; rename one folder")
    for tensor in sent(trace) if others else ():
        yield Analysis(
            f"trajectories-{tensor}",
            "the paths of all traces, on the principal components of the first",
            "analysis.trajectory:trajectory",
            Kept(),
            (tensor, {name: trace, **others}),
        )


def _outcome(each: Analysis, trace: Trace, out: Path) -> Outcome:
    from analysis.result_files import write

    if missing := each.needs.missing(trace):
        return each.name, missing
    try:
        result = each.compute(trace)
    except InputError as error:
        return each.name, str(error)
    return each.name, {"name": each.name, "about": each.about, **write(result, out, each.name)}


def _print(index: Mapping[str, Any]) -> None:
    rows = [
        (entry["file"], entry["summary"] or entry["about"], "yes" if entry["gaps"] else "")
        for entry in index["results"]
    ]
    run = index["run"]
    title = f"{run['model']}, {run['schedule']}, {run['ranks']} ranks, {run['steps']} steps"
    print_table(title, ("file", "in short", "gaps"), rows)
    absent = [(entry["name"], entry["why"]) for entry in index["absent"]]
    if absent:
        print_table("did not apply", ("analysis", "because"), absent)
