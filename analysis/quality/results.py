"""A table of results on disk, to which an interrupted study adds what is missing."""

from __future__ import annotations

import csv
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from traces.errors import InputError
from traces.files import replaceable, replacing

Row = Mapping[str, Any]
Rows = list[dict[str, Any]]

#: Columns that are text even where a value looks like a number.
TEXT = ("model", "weights", "judge", "schedule", "parameters", "notes", "predict_model", "gpu")


class Results:
    """Rows that are told apart by some of their columns, kept in a .csv or .parquet file."""

    def __init__(self, path: Path | None, key: Sequence[str]) -> None:
        self.path = path
        self.key = tuple(key)
        self.rows: Rows = []
        if path is not None:
            _format(path)
            if path.exists():
                self.rows = self._read(path)

    def find(self, row: Row) -> dict[str, Any] | None:
        """What is known of the row with this one's key."""
        key = self._key(row)
        return next((dict(known) for known in self.rows if self._key(known) == key), None)

    def put(self, row: Row) -> None:
        """Add a row, or put it in the place of the one with its key; then write all of them."""
        key = self._key(row)
        places = [place for place, known in enumerate(self.rows) if self._key(known) == key]
        if places:
            self.rows[places[0]] = dict(row)
        else:
            self.rows.append(dict(row))
        if self.path is None:
            return
        columns = list(dict.fromkeys(name for known in self.rows for name in known))
        whole = [{name: known.get(name) for name in columns} for known in self.rows]
        with replacing(self.path) as temporary:
            _WRITE[_format(self.path)](whole, temporary)

    def _key(self, row: Row) -> tuple[Any, ...]:
        return tuple(row[name] for name in self.key)

    def _read(self, path: Path) -> Rows:
        try:
            rows = _READ[_format(path)](path)
        except (ValueError, OSError, csv.Error) as error:
            raise InputError(f"{path}: no table that can be read: {error}") from None
        absent = [name for name in self.key if any(name not in row for row in rows)]
        if absent:
            raise InputError(
                f"{path}: is no table of quality, for it has no column {absent[0]!r}; choose "
                "another name for --out"
            )
        return rows


def _read_csv(path: Path) -> Rows:
    with path.open(newline="", encoding="utf-8") as file:
        return [
            {name: _value(name, text) for name, text in row.items()} for row in csv.DictReader(file)
        ]


def _value(name: str, text: str) -> str | float | None:
    if text == "" or name in TEXT:
        return text or None
    return int(text) if text.isdecimal() else float(text)


def _write_csv(rows: Rows, path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0], lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _read_parquet(path: Path) -> Rows:
    from pyarrow import parquet

    rows: Rows = parquet.read_table(path).to_pylist()
    return rows


def _write_parquet(rows: Rows, path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.Table.from_pylist(rows), path)


_READ: dict[str, Callable[[Path], Rows]] = {".csv": _read_csv, ".parquet": _read_parquet}
_WRITE: dict[str, Callable[[Rows, Path], None]] = {".csv": _write_csv, ".parquet": _write_parquet}


def _format(path: Path) -> str:
    suffix = path.suffix.lower()
    if suffix not in _READ:
        raise InputError(f"{path}: the name must end in {' or '.join(_READ)} to say its format")
    replaceable(path)
    return suffix
