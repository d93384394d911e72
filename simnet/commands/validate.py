"""`thinwire validate`: predictions held against what others trust."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

from cyclopts import App, Parameter

from simnet.commands.options import Json
from simnet.commands.output import print_json, print_table
from simnet.commands.validate_lab import lab
from simnet.commands.validate_published import published
from simnet.validation.simgrid_process import interpreter
from simnet.validation.suite import Result, Suite
from simnet.validation.suites import COMMITTED, Collectives, Flows, OtherCollectives, SimGrid
from traces.errors import InputError, RunError

#: Scenarios to run beside SimGrid where nobody says how many.
_FRESH = 20

validate = App(
    name="validate",
    help_format="markdown",
    help="""Hold predictions against what others trust.

```
thinwire validate simulators
thinwire validate published
```
""",
)
validate.command(lab)
validate.command(published)


@validate.command
def simulators(
    *,
    flows: Path | None = None,
    collectives: Path | None = None,
    simgrid: Annotated[int | None, Parameter(allow_leading_hyphen=True)] = None,
    seed: Annotated[int, Parameter(allow_leading_hyphen=True)] = 0,
    json: Json = False,
) -> None:
    """Compare with other simulators' results: by default, with all that come with thinwire.

    Where SimGrid is installed, fresh random scenarios are run side by side with it as well.

    ```
    thinwire validate simulators
    thinwire validate simulators --flows mine.json
    thinwire validate simulators --simgrid 50 --seed 7
    ```

    Errors are relative to what the other simulator says. Ends with exit code 3 if one of them is
    above its suite's limit, after printing all.

    Parameters
    ----------
    flows
        Instead: a JSON file of scenarios: links, flows, and when each flow ends elsewhere.
    collectives
        Instead: a CSV file of collectives, and how long ASTRA-sim says that they take.
    simgrid
        Instead: so many fresh random scenarios, side by side with SimGrid, which must be installed.
    seed
        Of the fresh scenarios.
    json
        Print the errors as JSON.
    """
    chosen: list[Suite] = []
    if flows is not None:
        chosen.append(Flows(flows))
    if collectives is not None:
        chosen += [Collectives(collectives), OtherCollectives(collectives)]
    if simgrid is not None:
        chosen.append(_side_by_side(simgrid, seed))
    results = [suite.run() for suite in chosen or _all(seed)]
    if json:
        print_json({"suites": [result.to_json() for result in results]})
    else:
        _print(results)
    failed = [result for result in results if not result.passed]
    if failed:
        raise RunError("; ".join(f"{each.worst}, at most {each.limit:g}" for each in failed))


def _all(seed: int) -> list[Suite]:
    """What is committed, and SimGrid where it is there."""
    fresh = [_side_by_side(_FRESH, seed)] if interpreter() is not None else []
    return [*COMMITTED, *fresh]


def _side_by_side(count: int, seed: int) -> SimGrid:
    if count < 1:
        raise InputError(f"--simgrid is {count}, expected 1 scenario or more")
    if seed < 0:
        raise InputError(f"--seed is {seed}, expected 0 or more")
    return SimGrid(count, seed)


def _print(results: Sequence[Result]) -> None:
    print_table(
        "compared with other simulators",
        ("suite", "cases", "flows", "max. error", "median error", "limit", "pass"),
        [
            (
                *(result.suite, result.cases, "-" if result.flows is None else result.flows),
                *(f"{result.max_error:.1e}", f"{result.median_error:.1e}"),
                *(f"{result.limit:g}", "yes" if result.passed else "no"),
            )
            for result in results
        ],
    )
    for result in results:
        for note in result.notes:
            print(f"{result.suite}: {note}")
