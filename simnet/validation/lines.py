"""Lines of a CSV file with the columns that are expected, each with what to call it in an error."""

from __future__ import annotations

import csv
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from traces.errors import InputError


def lines(path: Path, columns: Sequence[str], what: str) -> Iterator[tuple[Mapping[str, str], str]]:
    """Cells by column, and "FILE: line N"; cells that a line lacks are empty.

    Further columns are the file's own affair. Raises InputError, which says what the file was to
    hold, for one that cannot be read, is no CSV, or lacks a column.
    """
    try:
        with path.open(encoding="utf-8", newline="") as file:
            rows = csv.DictReader(file, restkey="", restval="")
            for column in columns:
                if column not in (rows.fieldnames or ()):
                    raise InputError(f"{path}: line 1: the column {column!r} is missing; add it")
            for row in rows:
                yield row, f"{path}: line {rows.line_num}"
    except OSError as error:
        raise InputError(f"{path}: cannot read {what}: {error.strerror}") from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(f"{path}: expected CSV in UTF-8, but {error}") from error
