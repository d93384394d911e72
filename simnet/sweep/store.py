"""Results that are kept: a folder for each case, in it files of points that were computed together.

Names of files are digests of their content, and a file appears whole or not at all, so sweeps that
run at the same time may share a folder. Each file has a checksum; one that is damaged counts as
not there.
"""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from simnet.sweep.case import Facts
from simnet.sweep.design import SETTING
from traces.files import writing

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: What a row was made by; a REFUSED one is left to the discrete-event simulator.
REFUSED, VECTORISED, DISCRETE_EVENT, IMPOSSIBLE = range(4)
#: A point's setting, what came of it, and which of the reasons beside it holds (-1: none).
ROW = np.dtype(
    [
        *((name, SETTING[name]) for name in SETTING.names or ()),
        *(("total_s", "<f8"), ("compute_s", "<f8"), ("exposed_s", "<f8")),
        *(("evaluator", "<i4"), ("reason", "<i4")),
    ]
)
_MAGIC = b"thinwire points 1\n"
_FACTS = "facts.json"
_SUFFIX = ".points"


class Points(NamedTuple):
    """Rows, and the reasons that they number."""

    rows: NDArray[Any]  # of ROW
    reasons: tuple[str, ...] = ()


NONE = Points(np.empty(0, ROW))


def joined(parts: Sequence[Points]) -> Points:
    """All of them, each reason once."""
    reasons: dict[str, int] = {}
    rows = []
    for part in parts:
        number = [reasons.setdefault(reason, len(reasons)) for reason in part.reasons]
        moved = part.rows.copy()
        moved["reason"] = np.array([*number, -1], np.int32)[part.rows["reason"]]
        rows.append(moved)
    return Points(np.concatenate(rows), tuple(reasons)) if rows else NONE


class Found:
    """What is known of some case, by setting."""

    def __init__(self, points: Points) -> None:
        hashes = _hashes(points.rows)
        # Of rows for one setting the first counts: results before those that were refused.
        order = np.lexsort((points.rows["evaluator"] == REFUSED, hashes))
        self._hashes, self._rows = hashes[order], points.rows[order]
        self.reasons = points.reasons

    def __call__(self, settings: NDArray[Any]) -> tuple[NDArray[np.bool_], NDArray[Any]]:
        """Which settings (M,) of SETTING are there, and their rows (M,); others' mean nothing."""
        if not len(self._rows):
            return np.zeros(len(settings), bool), np.zeros(len(settings), ROW)
        place = self._hashes.searchsorted(_hashes(settings)).clip(max=len(self._rows) - 1)
        rows = self._rows[place]
        return _words(rows) == _words(settings), rows


def _words(rows: NDArray[Any]) -> NDArray[Any]:
    """The settings as they stand in memory: so NaN, a network's own rate, is like itself."""
    names = list(SETTING.names or ())
    packed = np.empty(len(rows), SETTING)
    for name in names:
        packed[name] = rows[name]
    return packed.view(f"V{SETTING.itemsize}")


def _hashes(rows: NDArray[Any]) -> NDArray[np.uint64]:
    """64 bits for each setting, well mixed (the finaliser of SplitMix64: Steele et al. 2014)."""
    mixed = np.zeros(len(rows), np.uint64)
    for name in SETTING.names or ():
        mixed += np.ascontiguousarray(rows[name]).view(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
        mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        mixed ^= mixed >> np.uint64(31)
    return mixed


def distinct(settings: NDArray[Any]) -> NDArray[Any]:
    """Each setting once, in the order in which they come first."""
    _, first = np.unique(_hashes(settings), return_index=True)
    return settings[np.sort(first)]


class Store:
    """A folder of results; `warn` is told of files that are damaged."""

    def __init__(self, folder: Path, warn: Callable[[str], None]) -> None:
        self.folder = folder
        self.warn = warn

    def facts(self, key: str) -> Facts | None:
        """What is known of a case on every network."""
        path = self._case(key) / _FACTS
        try:
            checksum, _, body = path.read_bytes().partition(b"\n")
        except FileNotFoundError:
            return None
        if checksum != _checksum(body).encode():
            self._damaged(path)
            return None
        return Facts(**json.loads(body))

    def found(self, key: str) -> Found:
        """All that is known of a case's points."""
        paths = sorted(self._case(key).glob(f"*{_SUFFIX}"))
        parts = [part for path in paths if (part := self._read(path)) is not None]
        return Found(joined(parts))

    def add(self, key: str, facts: Facts, points: Points) -> None:
        """Keep what came of a case; raises InputError or RunError where that cannot be written."""
        folder = self._case(key)
        with writing(folder):
            folder.mkdir(parents=True, exist_ok=True)
        body = json.dumps(facts.to_json())
        if not (folder / _FACTS).exists():
            _put(folder / _FACTS, f"{_checksum(body.encode())}\n{body}".encode())
        if len(points.rows):
            content = json.dumps(points.reasons).encode() + b"\n" + points.rows.tobytes()
            name = _checksum(content)
            _put(folder / (name[:32] + _SUFFIX), _MAGIC + name.encode() + b"\n" + content)

    def _case(self, key: str) -> Path:
        return self.folder / key[:2] / key

    def _read(self, path: Path) -> Points | None:
        content = path.read_bytes()
        magic, checksum, rest = _MAGIC, content[len(_MAGIC) :][:64], content[len(_MAGIC) + 65 :]
        if not content.startswith(magic) or checksum.decode("ascii", "replace") != _checksum(rest):
            self._damaged(path)
            return None
        reasons, _, rows = rest.partition(b"\n")
        return Points(np.frombuffer(rows, ROW), tuple(json.loads(reasons)))

    def _damaged(self, path: Path) -> None:
        """Say so, and take it away: what was in it is computed again."""
        self.warn(f"{path}: is damaged, so what was kept in it is computed again")
        path.unlink(missing_ok=True)


def _checksum(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _put(path: Path, content: bytes) -> None:
    """Whole or not at all, whoever else writes it too. What a power cut damages is found out."""
    with writing(path):
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".tmp")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(content)
            Path(temporary).replace(path)
        except BaseException:
            Path(temporary).unlink(missing_ok=True)
            raise
