"""`thinwire figures`: every figure that applies to some traces, and why others do not."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from simnet.commands.options import Json, comma_separated
from simnet.commands.output import print_json, print_table, with_progress
from traces.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from figures.catalogue import Inputs, Made, Skipped


def figures(
    traces: Annotated[list[Path] | None, Parameter(negative="")] = None,
    *,
    out: Annotated[Path, Parameter(alias="-o")],
    only: str = "",
    form: Annotated[Literal["png", "svg", "pdf"], Parameter(name="--format")] = "png",
    quality: Path | None = None,
    vulnerability: Path | None = None,
    json: Json = False,
) -> None:
    """Draw every figure that applies to some traces, and say why others do not.

    ```
    thinwire run --model dit-fashion --driver local --keep kv,hidden,latent --out T
    thinwire figures T --out figures
    thinwire figures T U --only similarity,pictures --format svg --out figures
    ```

    The table that a figure was drawn from is written beside it as .csv. Of an incomplete trace, the
    steps that all ranks completed are drawn.

    Parameters
    ----------
    traces
        Traces: folders that `thinwire run` made. Where runs are compared, it is with the first.
    out
        Folder to write to; figures of the same name are replaced.
    only
        Names of figures, as docs/gallery.md has them, separated by commas; by default all.
    form
        Of the figures.
    quality
        A table that `thinwire quality --out` wrote.
    vulnerability
        A table of what it does to pictures that one layer alone uses old activations.
    json
        Print what was made, and what was not, as JSON.
    """
    from figures.catalogue import Inputs
    from figures.commands import opened

    given = {"quality": quality, "vulnerability": vulnerability}
    tables = {name: _table(path) for name, path in given.items() if path is not None}
    if not traces and not tables:
        raise InputError("there is nothing to draw; name a trace, or a table")
    inputs = Inputs(opened(traces or []), tables)
    made, skipped = _draw(inputs, comma_separated(only), out, form)
    if only and not made:
        raise InputError("; ".join(f"{each.name}: {each.why}" for each in skipped))
    if json:
        print_json(_said(made, skipped))
        return
    rows = [(str(out / f"{each.name}.{form}"), each.kind, each.title) for each in made]
    print_table("figures", ("file", "evidence", "figure"), rows)
    if skipped:
        print_table("did not apply", ("figure", "why"), [(each.name, each.why) for each in skipped])


def _draw(
    inputs: Inputs, names: Sequence[str], out: Path, form: str
) -> tuple[list[Made], list[Skipped]]:
    """Write each as soon as it is made."""
    from figures import style
    from figures.catalogue import Skipped, outcomes, planned

    made: list[Made] = []
    skipped: list[Skipped] = []
    every = len(planned(inputs, names))
    out.mkdir(parents=True, exist_ok=True)
    for found in with_progress("drawing", outcomes(inputs, names, str(out)), every):
        if isinstance(found, Skipped):
            skipped.append(found)
        else:
            style.save(found.figure, out / f"{found.name}.{form}")
            found.table.to_csv(out / f"{found.name}.csv", index=False)
            made.append(found)
    return made, skipped


def _table(path: Path) -> pd.DataFrame:
    """Of a .csv or .parquet file."""
    import pandas as pd

    if path.suffix not in (".csv", ".parquet"):
        raise InputError(f"{path}: the name of a table must end in .csv or .parquet")
    try:
        return pd.read_csv(path) if path.suffix == ".csv" else pd.read_parquet(path)
    except ValueError as error:
        raise InputError(f"{path}: is no such table: {error}") from error


def _said(made: Sequence[Made], skipped: Sequence[Skipped]) -> dict[str, Any]:
    return {
        "figures": [
            {"name": each.name, "title": each.title, "evidence": each.kind, "command": each.command}
            for each in made
        ],
        "did_not_apply": [{"name": each.name, "why": each.why} for each in skipped],
    }
