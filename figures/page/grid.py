"""One table of a page: cells as people read them, numbers to sort by, and a file to take along."""

from __future__ import annotations

import base64
import io
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pandas as pd

from traces.units import format_bytes, format_rate, format_s

if TYPE_CHECKING:
    from collections.abc import Sequence

MOST_ROWS = 200
MOST_CSV_BYTES = 100_000
#: Units are at the end of columns' names.
_FORMATS: dict[str, Callable[[float], str]] = {
    "_s": format_s,
    "bytes": format_bytes,
    "_bps": format_rate,
    "share": "{:.1%}".format,
}
_WORDS = {"bytes": "payload", "wire_bytes": "on the wire", "world": "ranks"}
_HIDDEN_SUFFIXES = ("_s", "_bps")
# What programs for spreadsheets would take for a formula.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


@dataclass(frozen=True, slots=True)
class Cell:
    """What is read, and what is sorted by: a number's digits, or nothing for a text."""

    text: str
    number: str = ""


@dataclass(frozen=True, slots=True)
class Grid:
    """A table ready for the page; `csv` is base64, empty where the file would be too large."""

    key: str
    title: str
    sentence: str
    columns: Sequence[tuple[str, bool]]  # name, and whether it holds numbers
    rows: Sequence[Sequence[Cell]]
    note: str
    csv: str


def grid(key: str, title: str, sentence: str, table: pd.DataFrame) -> Grid:
    """The first MOST_ROWS rows of a table; all of it as CSV, up to MOST_CSV_BYTES."""
    numeric = {str(name): _is_numeric(table[name]) for name in table}
    shown = table.head(MOST_ROWS)
    cells = [[_cell(str(name), value) for value in shown[name].tolist()] for name in shown]
    data = csv(table)
    fits = len(data) <= MOST_CSV_BYTES
    note = []
    if len(table) > MOST_ROWS:
        rest = "; the CSV has all" if fits else ""
        note.append(f"The first {MOST_ROWS} of {len(table):,} rows are shown{rest}.")
    if not fits:
        note.append("As CSV it is too large for this page: the command writes it.")
    return Grid(
        key=key,
        title=title,
        sentence=sentence,
        columns=[(_heading(name), numeric[name]) for name in numeric],
        rows=list(zip(*cells, strict=True)),
        note=" ".join(note),
        csv=base64.b64encode(data).decode() if fits else "",
    )


def csv(table: pd.DataFrame) -> bytes:
    """With all digits, in the columns' units; texts that look like formulas get a quote before."""
    safe = table.copy()
    for name in safe:
        if not _is_numeric(safe[name]):
            safe[name] = [_plain(value) for value in safe[name]]
    text = io.StringIO()
    safe.to_csv(text, index=False, lineterminator="\n")
    return text.getvalue().encode()


def _plain(value: object) -> str:
    text = "" if value is None or value is pd.NA else str(value)
    return "'" + text if text.startswith(_FORMULA) else text


def _is_numeric(column: pd.Series[Any]) -> bool:
    return bool(pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column))


def _heading(name: str) -> str:
    for suffix in _HIDDEN_SUFFIXES:
        name = name.removesuffix(suffix)
    return _WORDS.get(name, name.replace("_", " "))


def _cell(name: str, value: Any) -> Cell:
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return Cell("–")
    if isinstance(value, bool) or not isinstance(value, int | float):
        return Cell(str(value))
    for suffix, form in _FORMATS.items():
        if name.endswith(suffix):
            return Cell(form(value), repr(value))
    return Cell(f"{value:.4g}" if isinstance(value, float) else str(value), repr(value))
