"""What a point's result depends on, as a digest: equal content, equal digest, on any machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

#: Of packages, those whose versions may change what is counted or how it is rounded.
_LIBRARIES = ("torch", "numpy", "numba", "simpy")
#: Parts that print, measure, check or read what others recorded; predictions use none of them.
APART = {
    *("__main__.py", "cli.py", "doctor.py", "commands", "lab", "calibration", "training"),
    *("validation", "recognition", "profiling", "extract"),
    *("capture", "chakra", "execution_trace", "imports", "kineto"),
}
_ROOT = Path(__file__).resolve().parents[2]


def digest(value: Any) -> str:
    """SHA-256 of a value, in hexadecimal: of numbers, texts, tuples, mappings, dataclasses."""
    text = json.dumps(_plain(value), sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(text.encode()).hexdigest()


def _plain(value: Any) -> Any:
    """What JSON can hold, the same for equal values; floats are written with all their digits."""
    if hasattr(value, "rounds"):  # a selection of algorithms: its name says all
        return ["selection", value.name]
    if is_dataclass(value):
        compared = [field.name for field in fields(value) if field.compare]
        return [type(value).__name__, {name: _plain(getattr(value, name)) for name in compared}]
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, tuple | list):
        return [_plain(each) for each in value]
    assert value is None or isinstance(value, str | int | float | bool), value
    return value


def sources() -> Iterator[Path]:
    """Files that predictions come from, in order."""
    for package in ("simnet", "traces"):
        for path in sorted((_ROOT / package).rglob("*.py")):
            parts = path.relative_to(_ROOT).parts
            if parts[1] not in APART:
                yield path


@cache
def fingerprint() -> str:
    """Of the model itself: the sources that predictions come from, and the libraries below them.

    So a result of another version is never taken for one of this.
    """
    whole = hashlib.sha256()
    for path in sources():
        whole.update(f"{path.relative_to(_ROOT).as_posix()}\n".encode())
        whole.update(path.read_bytes())
    for name in _LIBRARIES:
        whole.update(f"{name} {metadata.version(name)}\n".encode())
    return whole.hexdigest()
