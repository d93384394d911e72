"""`thinwire validate published`: predictions held against latencies that others measured."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter

from simnet.commands.options import Json
from simnet.commands.output import print_json, print_table, with_progress
from simnet.validation.published.table import DATA, read
from traces.errors import RunError
from traces.files import replacing
from traces.units import format_s

if TYPE_CHECKING:
    from simnet.validation.published.figures import Figures
    from simnet.validation.published.prediction import Missing, Predicted
    from simnet.validation.published.report import Report
    from simnet.validation.published.table import Row


def published(
    *,
    table: Path = DATA,
    out: Annotated[Path | None, Parameter(alias="-o")] = None,
    json: Json = False,
) -> None:
    """Predict latencies that others published, from their run on one GPU and the machine.

    ```
    thinwire validate published
    thinwire validate published --table mine.csv --json
    ```

    The table that comes with thinwire has some 490; with it, CompactFusion's latencies and DICE's
    speedups are predicted, too. Errors are relative to what was published. Rows that cannot be
    predicted are counted, by the reason. Ends with exit code 3 if a suite misses its limits, after
    printing all.

    Parameters
    ----------
    table
        Instead: a CSV file with the same columns (see simnet/validation/data/README.md).
    out
        Folder for all rows with their predictions, as CSV and Parquet.
    json
        Print the figures as JSON.
    """
    from simnet.validation.published import papers
    from simnet.validation.published.report import Report

    report = Report(list(_predicted(read(table))))
    suites = [report.figures()]
    if table == DATA:
        suites += [*papers.compactfusion(), papers.dice()]
    if out is not None:
        _save(report, out)
    if json:
        print_json({"suites": [suite.to_json() for suite in suites]})
    else:
        _print(report, suites)
    failed = [suite for suite in suites if not suite.passed]
    if failed:
        raise RunError("; ".join(map(_shortfall, failed)))


def _predicted(rows: Sequence[Row]) -> Iterator[Predicted | Missing]:
    from simnet.validation.published.prediction import predict_all

    total = sum(row.ngpu > 1 for row in rows)
    if not sys.stderr.isatty():
        print(f"thinwire: predicting {total} rows, which takes minutes", file=sys.stderr)
    yield from with_progress("predicting", predict_all(rows), total)


def _save(report: Report, folder: Path) -> None:
    import pandas as pd

    frame = pd.DataFrame(report.table())
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / "published.csv") as path:
        frame.to_csv(path, index=False)
    with replacing(folder / "published.parquet") as path:
        frame.to_parquet(path, index=False)


def _print(report: Report, suites: Sequence[Figures]) -> None:
    columns = ("cases", "median error", "90th percentile", "Kendall tau", "best method right")
    print_table(
        "compared with what others published",
        ("suite", *columns, "limits", "pass"),
        [(suite.suite, *_cells(suite), _limits(suite), _verdict(suite)) for suite in suites],
    )
    more = suites[0].more
    for title in ("by_strategy", "by_link", "by_model"):
        shares = more[title]
        assert isinstance(shares, dict)
        print_table(
            f"all predicted rows {title.replace('_', ' ')}",
            (title.removeprefix("by_"), *columns[:3]),
            [
                (name, each["cases"], _percent(each["median_abs_error"]),
                 _percent(each["p90_abs_error"]))
                for name, each in shares.items()
            ],
        )  # fmt: skip
    print_table(
        "furthest off",
        ("run", "published", "predicted", "error"),
        [
            (str(row.row), format_s(row.row.latency_s or 0.0), format_s(row.seconds),
             f"{row.error:+.0%}")
            for row in report.worst
        ],
    )  # fmt: skip
    for reason, count in report.missing().items():
        print(f"not represented: {count} rows: {reason}")


def _cells(suite: Figures) -> list[str]:
    return [
        str(suite.cases), _percent(suite.median), _percent(suite.p90),
        "-" if suite.tau is None else f"{suite.tau:.2f}",
        "-" if suite.best is None else f"{suite.best:.0%}",
    ]  # fmt: skip


def _limits(suite: Figures) -> str:
    bar = suite.bar
    if bar is None:
        return "-"
    parts = [f"{bar.median:.0%}", f"{bar.p90:.0%}"]
    parts += [f"tau {bar.tau:g}"] if bar.tau is not None else []
    return ", ".join(parts + ([f"best {bar.best:.0%}"] if bar.best is not None else []))


def _percent(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.1%}"


def _verdict(suite: Figures) -> str:
    return "yes" if suite.passed else "no"


def _shortfall(suite: Figures) -> str:
    return (
        f"{suite.suite}: {', '.join(_cells(suite))} (cases, median, 90th percentile, tau, best), "
        f"expected {_limits(suite)}"
    )
