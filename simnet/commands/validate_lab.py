"""`thinwire validate lab`: predictions against real ranks behind slow links on this machine."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from simnet.commands.options import Flag, Json
from simnet.commands.output import print_json, print_table, with_progress
from traces.errors import InputError, RunError
from traces.units import format_s

if TYPE_CHECKING:
    import pandas as pd

    from simnet.validation.lab_report import Report


def lab(
    *,
    quick: Flag = False,
    out: Annotated[Path | None, Parameter(alias="-o")] = None,
    resume: Flag = False,
    json: Json = False,
) -> None:
    """Run schedules on real ranks behind slow links, predict each run, and compare.

    Ranks are processes in network namespaces on this machine, which talk over gloo through token
    buckets. Each network is calibrated once, whatever runs on it afterwards. Needs root and
    iproute2. Ranks come before everything else on this machine while it lasts.

    Computes are paced, as on a slow processor of their own, which leaves the cores free: then
    communication is real and compute exact. Or they are real, on cores that the ranks share. The
    table says which. A paced run that other work disturbed is repeated; of real ones the middle of
    three counts. What gates of experts choose is recorded before, where no network is slow.

    ```
    thinwire validate lab --quick
    thinwire validate lab --out lab
    thinwire validate lab --out lab --resume
    ```

    Ends with exit code 3 if errors are above their limits or a case has failed.

    Parameters
    ----------
    quick
        A few cases on three networks, in about two minutes.
    out
        Folder for the table (Parquet and CSV), the machine's description and all traces.
    resume
        Go on with the table that is there.
    json
        Print errors and orderings as JSON.
    """
    from simnet.lab import cases
    from simnet.lab.namespaces import why_not
    from simnet.validation.lab import rows
    from simnet.validation.lab_report import reports
    from simnet.validation.lab_table import Record

    if (reason := why_not()) is not None:
        raise InputError(f"validate lab: {reason}")
    wanted = cases.quick() if quick else cases.full()
    record = Record(out, resume=resume)
    todo = record.missing(wanted)
    with _folder(out) as folder:
        for row in with_progress("lab", rows(todo, folder), len(todo)):
            record.add(row)
    found = reports(record.table)
    if json:
        print_json({"suites": [each.to_json() for each in found]})
    else:
        _print(record.table, found)
    if not found[0].passed:
        raise RunError(_shortfall(found[0]))


@contextmanager
def _folder(out: Path | None) -> Iterator[Path]:
    if out is not None:
        yield out
        return
    with tempfile.TemporaryDirectory(prefix="thinwire-lab-") as temporary:
        yield Path(temporary)


def _shortfall(whole: Report) -> str:
    from simnet.validation.lab_report import MEDIAN_BAR, P90_BAR, TAU_BAR

    if whole.failed:
        return f"{len(whole.failed)} cases failed, the first is {whole.failed[0]}"
    return (
        f"errors are {_percent(whole.median_abs_error)} in the median (at most {MEDIAN_BAR:.0%}) "
        f"and {_percent(whole.p90_abs_error)} at the 90th percentile (at most {P90_BAR:.0%}), "
        f"tau is {_number(whole.kendall_tau)} (at least {TAU_BAR})"
    )


def _print(table: pd.DataFrame, found: Sequence[Report]) -> None:
    print_table(
        "measured in the lab, and predicted",
        ("network", "schedule", "codec", "compute", "measured", "predicted", "error", "finish"),
        [_cells(row) for row in table.to_dict("records")],
    )
    print_table(
        "errors of whole runs; order inside each network",
        ("suite", "cases", "median", "90 %", "tau", "least", "best right", "pass"),
        [
            (
                *(each.suite, each.cases),
                *(_percent(each.median_abs_error), _percent(each.p90_abs_error)),
                *(_number(each.kendall_tau), _number(each.least_tau)),
                *(_percent(each.best_method_right), "yes" if each.passed else "no"),
            )
            for each in found
        ],
    )
    for flags, rows in table[table["flags"] != ""].groupby("flags", sort=False):
        keys = (f"{row.network} {row.schedule} {row.codec}" for row in rows.itertuples())
        print(f"{flags}: {', '.join(keys)}")


def _cells(row: dict[Any, Any]) -> tuple[str, ...]:
    what = (f"{row['network']}", f"{row['schedule']}", f"{row['codec']}", f"{row['compute']}")
    if row["error"] != row["error"]:
        return (*what, "-", "-", "-", "-")
    times = format_s(row["measured_s"]), format_s(row["predicted_s"])
    return (*what, *times, f"{row['error']:+.1%}", f"{row['op_finish_error']:.1%}")


def _percent(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"
