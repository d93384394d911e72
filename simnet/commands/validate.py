"""`thinwire validate`: predictions held against what others trust."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from simnet.commands.options import Json
from simnet.commands.output import print_json, print_table
from simnet.validation.flows import LIMIT, compare, load, median_error, worst
from traces.errors import RunError

validate = App(
    name="validate",
    help_format="markdown",
    help="""Hold predictions against what others trust.

```
thinwire validate simulators --flows tests/data/simgrid_flows.json
```
""",
)


@validate.command
def simulators(
    *,
    flows: Annotated[Path, Parameter(help="A JSON file of contention scenarios.")],
    json: Json = False,
) -> None:
    """Compare how flows share links with another simulator's results.

    ```
    thinwire validate simulators --flows tests/data/simgrid_flows.json
    ```

    Errors are relative to a flow's duration. Ends with exit code 3 if one is above 1e-9.

    Parameters
    ----------
    flows
        A JSON file of scenarios: links, flows, and when each flow ends in the other simulator.
    json
        Print the errors as JSON.
    """
    scenarios = load(flows)
    rows = compare(scenarios)
    most, median = worst(rows), median_error(rows)
    if json:
        suite = {
            "suite": "flows",
            "cases": len(scenarios),
            "flows": len(rows),
            "max_relative_error": most.error,
            "median_relative_error": median,
            "limit": LIMIT,
        }
        print_json({"suites": [suite]})
    else:
        print_table(
            f"sharing of links, against {flows}",
            ("suite", "cases", "flows", "max. error", "median error", "limit"),
            [("flows", len(scenarios), len(rows), f"{most.error:.1e}", f"{median:.1e}", LIMIT)],
        )
    if not most.error <= LIMIT:
        raise RunError(
            f"{flows}: scenario {most.scenario}: flows[{most.flow}] ends at {most.finish_s!r} s, "
            f"expected {most.expected_s!r} s: an error of {most.error:.1e} of its duration, "
            f"at most {LIMIT:g}"
        )
