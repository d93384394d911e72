"""Turns a published strategy, "ulysses+ring+cfg" with its degrees, into a schedule."""

from __future__ import annotations

import math
import re
from typing import NamedTuple

from simnet.models.shape import Preset
from simnet.validation.published.models import NotRepresented
from simnet.validation.published.table import Row

_SPLITS = {"ulysses", "ring", "usp", "sp", "cp"}
_OTHERS = {"single", "cfg", "pipefusion", "tp", "distrifusion", "patch", "dp"}
_UNKNOWN = {
    "asyncdiff": "AsyncDiff's split of a model is no schedule here",
    "hybrid": "which hybrid is not stated",
    "fsdp": "sharded weights alone are no schedule here",
}


class Plan(NamedTuple):
    """What is run: schedules of which a sweep took the fastest, and the parts that tokens go in."""

    kind: str  # "ulysses+cfg", for tables
    schedules: tuple[str, ...]
    parts: int


class Degrees(NamedTuple):
    """How many GPUs share what."""

    ulysses: int
    ring: int
    pipefusion: int
    cfg: int
    tensor: int
    patches: int  # DistriFusion's


def plan(row: Row, shape: Preset) -> Plan:
    """The schedules to try for a row; raises NotRepresented with a reason."""
    words = _words(row.strategy)
    degrees = _degrees(row, words)
    if math.prod(degrees) != row.ngpu:
        raise NotRepresented(
            f"degrees that do not multiply to the number of GPUs ({row.strategy} on {row.ngpu})"
        )
    used = [name for name, degree in degrees._asdict().items() if degree > 1]
    inner = {"sp" if name in ("ulysses", "ring") else name for name in used} - {"cfg"}
    if len(inner) > 1:
        raise NotRepresented(f"products of {' and '.join(sorted(inner))} are no schedule here")
    if degrees.cfg > 2 or (degrees.cfg == 2 and shape.forwards != 2):
        raise NotRepresented("guidance in parallel for a model of one forward a step")
    names = _inner(degrees)
    if degrees.cfg == 2:
        names = tuple(f"cfg+{name}" for name in names)
    parts = degrees.ulysses * degrees.ring * degrees.patches
    if degrees.pipefusion > 1:
        parts = 2 * degrees.pipefusion
    return Plan("+".join(_sorted(used)) or "single", names, parts)


def _sorted(used: list[str]) -> list[str]:
    names = {"tensor": "tp", "patches": "distrifusion"}
    return [names.get(name, name) for name in used]


def _words(strategy: str) -> set[str]:
    text = strategy.lower()
    for word, reason in _UNKNOWN.items():
        if word in text:
            raise NotRepresented(reason)
    if "mix" in text or "/" in text or "n/s" in text:
        raise NotRepresented("which hybrid is not stated")
    words = set(re.findall(r"[a-z]+", re.sub(r"\((.*?)\)", r"+\1", text)))
    unknown = words - _SPLITS - _OTHERS - {"async", "parallel"}
    if unknown:
        raise NotRepresented(f"the strategy {strategy}")
    return words


def _degrees(row: Row, words: set[str]) -> Degrees:
    tensor = re.search(r"tp\s*=?-?(\d{1,4})", row.strategy.lower())
    tp = int(tensor[1]) if tensor else 1
    if tp < 1:
        raise NotRepresented(f"the strategy {row.strategy}")
    known = row.ulysses * row.ring * row.pipefusion * row.cfg * tp
    rest = row.ngpu // known if row.ngpu % known == 0 else 1
    if "tp" in words and not tensor:
        tp, rest = rest, 1
    ulysses, ring, pipefusion, cfg, patches = row.ulysses, row.ring, row.pipefusion, row.cfg, 1
    if rest > 1 and words & {"distrifusion", "patch"}:
        patches = rest
    elif rest > 1 and words == {"cfg"}:
        cfg = rest
    elif rest > 1 and words & {"ulysses", "sp", "cp"} and row.ulysses == 1:
        ulysses = rest
    elif rest > 1 and "ring" in words and row.ring == 1:
        ring = rest
    elif rest > 1 and "pipefusion" in words and row.pipefusion == 1:
        pipefusion = rest
    return Degrees(ulysses, ring, pipefusion, cfg, tp, patches)


def _inner(degrees: Degrees) -> tuple[str, ...]:
    if degrees.pipefusion > 1:
        # xDiT's benchmark sweeps patches from half to twice as many as there are stages.
        stages = degrees.pipefusion
        sweep = dict.fromkeys((max(1, stages // 2), stages, 2 * stages))
        return tuple(f"pipefusion:patches={patches}" for patches in sweep)
    if degrees.tensor > 1:
        return ("tensor",)
    if degrees.patches > 1:
        return ("distrifusion",)
    if degrees.ulysses > 1 and degrees.ring > 1:
        return (f"usp:ulysses={degrees.ulysses}",)
    if degrees.ulysses > 1:
        return ("ulysses",)
    return ("ring",) if degrees.ring > 1 else ("single",)
