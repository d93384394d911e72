"""Reads tables of published latencies: one row for each, with what was run on what."""

from __future__ import annotations

import csv
import hashlib
import math
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from traces.errors import InputError

DATA = Path(__file__).parents[1] / "data" / "published_latency.csv"

COLUMNS = (
    "source", "model", "resolution", "steps", "gpu", "link", "ngpu", "strategy", "ulysses", "ring",
    "pipefusion", "cfg", "latency_s", "notes",
)  # fmt: skip

#: Ways to compile; rows with the same of these words in their notes were measured alike.
_BUILDS = ("eager", "compile", "onediff", "fp8", "older chart", "baseline", "xdit", "sky")

_CACHES = ("+cache", "teacache", "fbcache", "dbcache", "taylorseer")
#: No run takes less, or more.
_LEAST_S, _MOST_S = 1e-6, 1e9

#: (source, model, resolution, steps, gpu): rows that belong together.
Key = tuple[str, str, str, str, str]


@dataclass(frozen=True)
class Row:
    """One published latency. `latency_s` is None where the run ran out of memory."""

    line: int  # of its file
    source: str
    model: str
    resolution: str
    steps: str
    gpu: str
    link: str
    ngpu: int
    strategy: str
    ulysses: int
    ring: int
    pipefusion: int
    cfg: int
    latency_s: float | None
    notes: str

    @property
    def group(self) -> Key:
        """What it belongs to, whatever the software."""
        return self.source, self.model, self.resolution, self.steps, self.gpu

    @property
    def build(self) -> tuple[str, ...]:
        """The words of its notes that tell one software from another on the same machine."""
        notes = self.notes.lower()
        return tuple(word for word in _BUILDS if word in notes)

    @property
    def cached(self) -> bool:
        """Whether whole steps were left out, by a cache of what they would give."""
        return any(word in self.notes.lower() for word in _CACHES)

    @property
    def fitted(self) -> bool:
        """Whether its group is of the half that constants may be fitted to."""
        return is_fitted(self.group)

    def __str__(self) -> str:
        return (
            f"{self.source}: {self.model} {self.resolution}, {self.strategy} on {self.ngpu} x "
            f"{self.gpu}"
        )


def is_fitted(group: Key) -> bool:
    """A fixed half of all groups: those whose key's SHA-256 begins with a 0 as its first bit.

    (By the last bit, 76 of this table's 85 groups would be on one side.)
    """
    digest = hashlib.sha256("|".join(group).encode()).digest()
    return digest[0] < 128


def read(path: Path) -> list[Row]:
    """All rows of a CSV file.

    Raises InputError naming file, line and column for one that is missing or makes no sense.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: not a text file in UTF-8 ({error.reason})") from None
    lines = csv.DictReader(text.splitlines(), strict=True)
    try:
        _check_columns(path, lines.fieldnames or ())
        rows = [_row(path, lines.line_num, cells) for cells in lines]
    except csv.Error as error:
        raise InputError(f"{path}, line {lines.line_num}: no CSV: {error}") from None
    if not rows:
        raise InputError(f"{path}: no rows below its head; expected latencies")
    return rows


def _check_columns(path: Path, found: Iterable[str]) -> None:
    missing = [name for name in COLUMNS if name not in found]
    if missing:
        raise InputError(
            f"{path}: lacks the columns {', '.join(missing)}; expected {', '.join(COLUMNS)}"
        )


def _row(path: Path, line: int, cells: Mapping[str | None, str | None]) -> Row:
    where = f"{path}, line {line}"
    if None in cells:
        raise InputError(f"{where}: more cells than there are columns; quote those with commas")
    texts = {name: (cells[name] or "").strip() for name in COLUMNS}
    for name in ("source", "model", "gpu", "strategy"):
        if not texts[name]:
            raise InputError(f"{where}: {name} is empty")
    counts = {
        name: _count(where, name, texts[name])
        for name in ("ngpu", "ulysses", "ring", "pipefusion", "cfg")
    }
    names = ("source", "model", "resolution", "steps", "gpu", "link", "strategy", "notes")
    return Row(
        line=line,
        **{name: texts[name] for name in names},  # type: ignore[arg-type]
        **counts,  # type: ignore[arg-type]
        latency_s=_latency(where, texts["latency_s"]),
    )


def _count(where: str, name: str, text: str) -> int:
    if not text and name != "ngpu":
        return 1
    if not re.fullmatch(r"[0-9]{1,4}", text) or int(text) < 1:
        raise InputError(f"{where}: {name} is {text!r}, expected an integer from 1 up")
    return int(text)


def _latency(where: str, text: str) -> float | None:
    if text.upper() == "OOM":
        return None
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not _LEAST_S <= value <= _MOST_S:
        raise InputError(
            f"{where}: latency_s is {text!r}, expected seconds above 0 ({_LEAST_S:g} to "
            f"{_MOST_S:g}), or OOM for a run that ran out of memory"
        )
    return value


def baseline(row: Row, rows: Iterable[Row]) -> Row | None:
    """The run on one GPU that a row is to be predicted from: of its group, and built alike."""
    alone = [
        other
        for other in rows
        if other.ngpu == 1
        and other.group == row.group
        and other.latency_s is not None
        and not other.cached
    ]
    same = [other for other in alone if other.build == row.build]
    return next(iter(same or alone), None)
