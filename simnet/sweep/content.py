"""What a point's result depends on, as a digest: equal content, equal digest, on any machine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

#: Of packages, those whose versions may change what is counted or how it is rounded.
_LIBRARIES = ("torch", "numpy", "numba", "simpy")
#: Parts of simnet that only print, measure or check, and change no prediction.
_APART = {"commands", "lab", "plan", "validation", "calibration", "training"}


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


@cache
def fingerprint() -> str:
    """Of the model itself: the sources that predictions come from, and the libraries below them.

    So a result of another version is never taken for one of this.
    """
    whole = hashlib.sha256()
    root = Path(__file__).resolve().parents[2]
    for package in ("simnet", "traces"):
        for path in sorted((root / package).rglob("*.py")):
            place = path.relative_to(root)
            if len(place.parts) > 2 and place.parts[1] in _APART:
                continue
            whole.update(f"{place.as_posix()}\n".encode())
            whole.update(path.read_bytes())
    for name in _LIBRARIES:
        whole.update(f"{name} {metadata.version(name)}\n".encode())
    return whole.hexdigest()
