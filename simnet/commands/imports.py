"""`thinwire import`: traces that other programs recorded."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from simnet.commands.options import Flag, keep_apart
from simnet.commands.output import say_what_is_missing
from traces.units import format_s


def import_(
    files: Annotated[list[Path], Parameter(negative="")],
    /,
    *,
    out: Annotated[Path, Parameter(alias="-o")],
    format: str | None = None,  # noqa: A002 - the option's name
    in_order: Flag = False,
    model: str = "imported",
    overwrite: Flag = False,
) -> None:
    """Read a run that another program recorded, one file a rank, as a trace.

    ```
    thinwire import rank0.json.gz rank1.json.gz --out T
    thinwire import et-0.json et-1.json --format execution-trace --out T
    thinwire import run.0.et run.1.et run.groups.json --out T
    thinwire replay T --network ethernet-1g
    ```

    It reads what torch.profiler exports (`kineto`), what its ExecutionTraceObserver writes
    (`execution-trace`), and MLCommons Chakra (`chakra`). What a file does not say is guessed, and
    each guess is stated. Details: docs/formats.md.

    Parameters
    ----------
    files
        A file of each rank, .json, .json.gz or .et.
    out
        Folder to write the trace to.
    format
        `kineto`, `execution-trace` or `chakra`; by default what the files look like.
    in_order
        Count ranks in the order of the files, whatever the files say.
    model
        What to call the model.
    overwrite
        Replace a trace that is already there.
    """
    from traces.imports.formats import read

    for path in files:
        keep_apart(out, path)
    trace = read(files, format=format, model=model, in_order=in_order)
    trace.save(out, overwrite=overwrite)
    say_what_is_missing(out, trace.problems)
    run, ops = trace.run, trace.ops
    transfers = int((ops["stream"] != "compute").sum())
    length_s = float(ops[["start_s", "end_s"]].max().max())
    print(
        f"{out}: {run.ranks} ranks, {run.steps} steps, {transfers} transfers, "
        f"{format_s(length_s)} ({run.evidence})"
    )
