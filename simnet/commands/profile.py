"""`thinwire profile`: what each computation cost in a trace, to predict other runs by."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

from cyclopts import Parameter

from simnet.commands.options import Json, TracePath
from simnet.commands.output import open_trace, print_json, print_table
from simnet.costs import MeasuredCosts
from traces.units import format_s


def profile(
    trace: TracePath,
    *,
    out: Annotated[Path | None, Parameter(alias="-o")] = None,
    json: Json = False,
) -> None:
    """Take the compute times out of a trace: median, spread and count of each callable and shape.

    ```
    thinwire profile T --out my-gpu.json
    thinwire predict --costs my-gpu.json --dtype float32 --network ethernet-10g
    ```

    Parameters
    ----------
    trace
        A trace: the folder that `thinwire run` made.
    out
        File to write the costs to, as JSON.
    json
        Print the costs as JSON.
    """
    costs = MeasuredCosts.from_trace(open_trace(trace))
    if out is not None:
        costs.save(out)
    records: list[dict[Any, Any]] = costs.table().to_dict(orient="records")
    if json:
        print_json(records)
        return
    rows = [
        (r["name"], r["shape"], format_s(r["median_s"]), format_s(r["spread_s"]), r["count"])
        for r in records
    ]
    print_table(costs.name, ("callable", "arguments", "median", "spread", "count"), rows)
