"""The subcommands of `thinwire` that sum up and compare traces."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from simnet.commands.options import Flag, Json, TracePath
from simnet.commands.output import print_json, print_table, report
from traces.summary import summarize
from traces.trace import Trace
from traces.units import format_s


def show(trace: TracePath, *, draw: Flag = False, width: int = 72, json: Json = False) -> None:
    """Sum up a trace: total, compute, exposed and hidden communication, bytes, by rank.

    ```
    thinwire show T
    thinwire show T --draw
    thinwire show T --json
    ```

    Parameters
    ----------
    trace
        A trace: the folder that `thinwire run` made.
    draw
        Draw it as text too, a line for each rank and one for its network.
    width
        Of the drawing, in characters.
    json
        Print the summary, and what was run, as JSON.
    """
    opened = Trace.open(trace)
    run = opened.run.to_json()
    summary = summarize(opened)
    report(summary, as_json=json, more={"run": run, "kept": list(opened.kept())})
    if json:
        return
    if draw:
        from analysis.drawing import draw as drawn

        print(drawn(opened, width))
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    print(f"on {run['device']}, {run['dtype']}, seed {run['seed']}; {versions}")
    print(f"activations: {', '.join(opened.kept()) or 'none kept'}")


def compare(left: Path, right: Path, *, json: Json = False) -> None:
    """Compare two traces of the same run, such as a recording and its replay, row by row.

    ```
    thinwire replay T --network recorded --out R
    thinwire compare T R
    ```

    Parameters
    ----------
    left
        A trace.
    right
        A trace of the same program: same schedule, model, ranks and steps.
    json
        Print the comparison as JSON.
    """
    from traces.join import join

    joined = join(Trace.open(left), Trace.open(right))
    sums = joined.groupby(["kind_left", "name_left"], observed=True).agg(
        count=("seq", "size"),
        left_s=("duration_s_left", "sum"),
        right_s=("duration_s_right", "sum"),
    )
    records: list[dict[Any, Any]] = (
        sums.rename_axis(["kind", "name"]).reset_index().to_dict(orient="records")
    )
    if json:
        print_json(records)
        return
    rows = [
        (r["kind"], r["name"], r["count"], format_s(r["left_s"]), format_s(r["right_s"]), _ratio(r))
        for r in records
    ]
    print_table("summed over ranks", ("kind", "name", "count", "left", "right", "ratio"), rows)


def _ratio(record: dict[Any, Any]) -> str:
    left_s, right_s = record["left_s"], record["right_s"]
    return f"{right_s / left_s:.3f}" if left_s > 0 else "-"
