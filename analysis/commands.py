"""The subcommands of `thinwire` that sum up and compare traces."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

from simnet.commands.options import Flag, Json, TracePath
from simnet.commands.output import open_trace, print_json, print_table, report
from traces.summary import summarize
from traces.units import format_s

Records = list[dict[Any, Any]]


def show(
    trace: TracePath,
    *,
    draw: Flag = False,
    width: int = 72,
    by: Literal["layer", "step"] | None = None,
    json: Json = False,
) -> None:
    """Sum up a trace: total, compute, exposed and hidden communication, bytes, by rank.

    ```
    thinwire show T
    thinwire show T --draw
    thinwire show T --by layer
    thinwire show T --json
    ```

    Parameters
    ----------
    trace
        A trace: the folder that `thinwire run` made.
    draw
        Draw it as text too, a line for each rank and one for its network.
    width
        Of the drawing, in characters, 32 or more.
    by
        Compute, exposed and hidden communication of each layer or step too, summed over ranks.
    json
        Print the summary, and what was run, as JSON.
    """
    from analysis.drawing import check_width
    from analysis.drawing import draw as drawn
    from analysis.extent import extent
    from analysis.overlap import overlap

    check_width(width)
    opened = open_trace(trace)
    run, drawing = opened.run.to_json(), drawn(opened, width) if draw else ""
    sums: Records = []
    if by is not None:
        sums = overlap(opened).groupby(by).sum().reset_index().to_dict(orient="records")
    more = {"run": run, "kept": list(opened.kept())} | ({f"by_{by}": sums} if by else {})
    report(summarize(opened), as_json=json, more=more, extent=extent(opened))
    if json:
        return
    if by is not None:
        _print_sums(by, sums)
    if draw:
        print(drawing)
    versions = ", ".join(f"{name} {version}" for name, version in run["versions"].items())
    print(f"on {run['device']}, {run['dtype']}, seed {run['seed']}; {versions}")
    kept = [*opened.kept(), *(f"{name} (reduced)" for name in opened.reduced())]
    print(f"activations: {', '.join(kept) or 'none kept'}")


def _print_sums(by: str, sums: Records) -> None:
    columns = ("compute_s", "exposed_s", "hidden_s")
    rows = [
        ("outside" if record[by] < 0 else record[by], *(format_s(record[c]) for c in columns))
        for record in sums
    ]
    print_table("summed over ranks", (by, *(c.removesuffix("_s") for c in columns)), rows)


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

    joined = join(open_trace(left), open_trace(right))
    sums = joined.groupby(["kind_left", "name_left"], observed=True).agg(
        count=("seq", "size"),
        left_s=("duration_s_left", "sum"),
        right_s=("duration_s_right", "sum"),
    )
    records: Records = sums.rename_axis(["kind", "name"]).reset_index().to_dict(orient="records")
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
