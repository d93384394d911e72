"""The lab's table: kept row by row, continued, and summed up."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from simnet.lab.cases import quick
from simnet.validation.lab_report import report, reports
from simnet.validation.lab_row import COLUMNS, failed
from simnet.validation.lab_table import Record
from traces.errors import InputError

CASES = quick()


def row(number: int = 0, **other: Any) -> dict[str, Any]:
    """One of the quick suite's cases that went well: predicted 10 % too long."""
    numbers = {"measured_s": 2.0, "predicted_s": 2.2, "error": 0.1, "op_finish_error": 0.01}
    exposed = {"measured_exposed_s": 0.5, "predicted_exposed_s": 0.6, "flags": ""}
    return failed(CASES[number], "nothing") | numbers | exposed | other


def table(*rows: dict[str, Any]) -> pd.DataFrame:
    """As the lab's."""
    return pd.DataFrame(rows, columns=list(COLUMNS))


def test_an_interrupted_table_is_continued_where_it_ended(tmp_path: Path) -> None:
    """Cases that are there are not run again; those that failed are."""
    record = Record(tmp_path / "lab", resume=False)
    record.add(row(0))
    record.add(failed(CASES[1], "a rank died"))
    again = Record(tmp_path / "lab", resume=True)

    assert again.missing(CASES) == CASES[1:]
    again.add(row(1))
    assert Record(tmp_path / "lab", resume=True).missing(CASES) == CASES[2:]


def test_parquet_and_csv_hold_the_same_after_every_row(tmp_path: Path) -> None:
    """And the machine is described beside them."""
    record = Record(tmp_path, resume=False)
    for number in range(3):
        record.add(row(number))
        parquet = pd.read_parquet(tmp_path / "lab.parquet")
        csv = pd.read_csv(tmp_path / "lab.csv", keep_default_na=False)
        assert list(parquet.columns) == list(COLUMNS)
        pd.testing.assert_frame_equal(parquet, csv, check_dtype=False)
    described = json.loads((tmp_path / "lab.json").read_text())
    assert described["machine"]["cores"] >= 1
    assert set(described["machine"]) >= {"kernel", "processor", "versions"}


def test_a_table_is_neither_replaced_nor_mixed(tmp_path: Path) -> None:
    """With one made without --resume, or on another machine."""
    Record(tmp_path, resume=False).add(row())
    with pytest.raises(InputError, match="continue it with --resume"):
        Record(tmp_path, resume=False)
    path = tmp_path / "lab.json"
    described = json.loads(path.read_text())
    described["machine"]["cores"] += 1
    path.write_text(json.dumps(described))
    with pytest.raises(InputError, match=r"machine was .* rows of both are not to be mixed"):
        Record(tmp_path, resume=True)
    with pytest.raises(InputError, match="give its folder"):
        Record(None, resume=True)


def test_a_damaged_description_is_refused(tmp_path: Path) -> None:
    """The file is named."""
    Record(tmp_path, resume=False)
    (tmp_path / "lab.json").write_text("{")
    with pytest.raises(InputError, match=r"lab\.json: expected the JSON"):
        Record(tmp_path, resume=True)


def test_without_a_folder_nothing_is_written() -> None:
    """The table is there all the same."""
    record = Record(None, resume=False)
    record.add(row())
    assert len(record.table) == 1


def test_the_report_is_of_absolute_errors() -> None:
    """The median, and what nine of ten do not exceed."""
    errors = [0.01, -0.03, 0.02, -0.2, 0.0]
    found = report("lab", table(*(row(n, error=error) for n, error in enumerate(errors))))

    assert found.cases == 5
    assert found.median_abs_error == pytest.approx(0.02)
    assert found.p90_abs_error == pytest.approx(0.132)
    assert not found.passed


def test_orders_are_compared_inside_each_network() -> None:
    """Three runs of one, of which two change places; all of another in order."""
    rows = [
        row(0, network="a", measured_s=measured_s, predicted_s=predicted_s)
        for measured_s, predicted_s in ((1.0, 1.1), (2.0, 3.1), (3.0, 3.0))
    ]
    rows += [row(0, network="b", measured_s=s, predicted_s=2 * s) for s in (1.0, 2.0)]
    found = report("lab", table(*rows))

    assert found.least_tau == pytest.approx(1 / 3)
    assert found.kendall_tau == pytest.approx((1 / 3 + 1) / 2)
    assert found.tau_b == pytest.approx((1 / 3 + 1) / 2)
    assert found.best_method_right == 1.0


def test_runs_that_took_about_the_same_have_no_order_to_be_right() -> None:
    """Tau-b of all pairs has them all the same."""
    rows = [
        row(0, network="a", measured_s=measured_s, predicted_s=predicted_s)
        for measured_s, predicted_s in ((1.0, 1.02), (1.01, 1.0), (3.0, 3.0))
    ]
    found = report("lab", table(*rows))

    assert found.kendall_tau == found.least_tau == 1.0
    assert found.tau_b == pytest.approx(1 / 3)
    assert report("lab", table(*rows[:2])).kendall_tau is None


def test_the_best_method_is_found_for_each_model_and_network() -> None:
    """Of two groups one is right; a run alone is no group."""
    rows = [
        row(0, network="a", model="one", measured_s=1.0, predicted_s=2.0),
        row(0, network="a", model="one", measured_s=2.0, predicted_s=1.0),
        row(0, network="a", model="other", measured_s=1.0, predicted_s=1.0),
        row(0, network="a", model="other", measured_s=2.0, predicted_s=2.0),
        row(0, network="b", model="other"),
    ]
    assert report("lab", table(*rows)).best_method_right == 0.5


def test_small_errors_pass_and_a_failed_case_does_not() -> None:
    """It is counted apart and named, with the reason."""
    good = [row(n, error=0.01, measured_s=n + 1.0, predicted_s=n + 1.01) for n in range(3)]
    assert report("lab", table(*good)).passed
    found = report("lab", table(*good, failed(CASES[3], "rank 1 was killed")))

    assert not found.passed
    assert found.cases == 3
    assert found.median_abs_error == pytest.approx(0.01)
    (line,) = found.failed
    assert line.startswith(CASES[3].network.name)
    assert line.endswith("rank 1 was killed")


def test_ways_to_compute_are_reported_apart() -> None:
    """And together; as JSON takes it."""
    rows = [row(0, error=0.0), row(1, error=0.4, compute="real")]
    found = reports(table(*rows))

    assert [each.suite for each in found] == ["lab", "lab, paced", "lab, real"]
    assert [each.median_abs_error for each in found] == pytest.approx([0.2, 0.0, 0.4])
    for each in found:
        plain = json.loads(json.dumps(each.to_json(), allow_nan=False))
        assert {"cases", "median_abs_error", "p90_abs_error", "pass"} <= set(plain)


def test_of_nothing_there_is_no_error_and_no_pass() -> None:
    """All cases may have failed."""
    found = report("lab", table(failed(CASES[0], "all is lost")))

    assert (found.median_abs_error, found.kendall_tau, found.passed) == (None, None, False)
    assert math.isnan(table(failed(CASES[0], ""))["error"].iloc[0])
