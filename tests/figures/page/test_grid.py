"""Tables of a page: what is read, what is sorted by, and what can be taken along."""

from __future__ import annotations

import base64
import io

import numpy as np
import pandas as pd
import pytest

from figures.page.grid import MOST_ROWS, Cell, Grid, csv, grid

TABLE = pd.DataFrame(
    {
        "trace": ["a", "b"],
        "total_s": [0.0031, np.nan],
        "wire_bytes": [64_000_000, 7],
        "rate_bps": [1e9, np.inf],
        "exposed_share": [0.25, 1.0],
        "speedup": [1.23456, 2.0],
        "layer": [-1, 3],
    }
)


def made(table: pd.DataFrame) -> Grid:
    """With nothing said about it."""
    return grid("key", "Title", "Sentence.", table)


def test_cells_have_units_and_the_numbers_behind_them() -> None:
    """People read the one, sorting goes by the other; what is missing has no number."""
    first, second = made(TABLE).rows

    assert [cell.text for cell in first] == [
        *("a", "3.10 ms", "64.0 MB", "1.00 Gbit/s", "25.0%", "1.235", "-1")
    ]
    assert first[1] == Cell("3.10 ms", "0.0031")
    assert second[1] == Cell("–")
    assert second[3].number == "inf"


def test_headings_leave_the_unit_to_the_cells() -> None:
    """And say which columns hold numbers."""
    assert made(TABLE).columns == [
        ("trace", False),
        ("total", True),
        ("on the wire", True),
        ("rate", True),
        ("exposed share", True),
        ("speedup", True),
        ("layer", True),
    ]


def test_the_csv_gives_the_table_back() -> None:
    """Every digit, and the columns with their units."""
    data = base64.b64decode(made(TABLE).csv)

    pd.testing.assert_frame_equal(pd.read_csv(io.BytesIO(data)), TABLE)


@pytest.mark.parametrize("text", ["=1+1", "@SUM(A1)", "+cmd", "-2+3", "\tx"])
def test_no_text_is_a_formula_for_a_spreadsheet(text: str) -> None:
    """A quote before it keeps it a text."""
    lines = csv(pd.DataFrame({"name": [text], "x_s": [-1.5]})).decode().splitlines()

    assert lines[1].startswith(("'" + text[:1], "\"'" + text[:1]))
    assert lines[1].endswith(",-1.5")


def test_of_a_long_table_the_first_rows_are_shown() -> None:
    """The note says where the others are."""
    long = made(pd.DataFrame({"x": range(1234)}))

    assert len(long.rows) == MOST_ROWS
    assert long.note == f"The first {MOST_ROWS} of 1,234 rows are shown; the CSV has all."


def test_a_file_that_is_too_large_is_left_out_and_the_note_says_so() -> None:
    """Rather than a page that nobody can send."""
    large = made(pd.DataFrame({"x": np.linspace(0, 1, 20_000)}))

    assert large.csv == ""
    assert "too large for this page" in large.note
