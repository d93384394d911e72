"""Cost profiles: how long a model's calls took on some device, as a small JSON file."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from traces.errors import InputError
from traces.files import replacing

SCHEMA = 1


@dataclass(frozen=True, slots=True)
class Cost:
    """How long the calls of one name, with arguments of one shape, took."""

    name: str
    shape: str  # as simnet.shapes writes it
    median_s: float
    spread_s: float  # between the quartiles
    minimum_s: float
    count: int  # calls

    def __post_init__(self) -> None:
        """Raises InputError naming the field that makes no sense."""
        for field in ("name", "shape"):
            if not isinstance(getattr(self, field), str):
                raise InputError(f"{field} is {getattr(self, field)!r}, expected text")
        for field in ("median_s", "spread_s", "minimum_s"):
            value = getattr(self, field)
            if not _is_number(value) or not 0 <= value < math.inf:
                raise InputError(f"{field} is {value!r}, expected seconds, finite and from 0 up")
        if not isinstance(self.count, int) or not _is_number(self.count) or self.count < 1:
            raise InputError(f"count is {self.count!r}, expected a whole number from 1 up")
        if self.minimum_s > self.median_s:
            raise InputError(
                f"minimum_s is {self.minimum_s!r}, more than median_s, {self.median_s!r}"
            )


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def write(path: Path, device: str, costs: Sequence[Cost]) -> None:
    """Write a profile, in whole or not at all. Raises RunError where that is not possible."""
    data = {"profile": SCHEMA, "device": device, "costs": [asdict(cost) for cost in costs]}
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(data, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def read(path: Path) -> tuple[str, list[Cost]]:
    """The device and the costs in a profile.

    Raises InputError naming the file and the entry and field that are missing, unknown or wrong.
    """
    data = _load(path)
    _expect_fields(data, ("profile", "device", "costs"), f"{path}")
    if data["profile"] != SCHEMA:
        raise InputError(
            f"{path}: profile is {data['profile']!r}, but this thinwire reads {SCHEMA}; "
            "measure again or use the version that wrote it"
        )
    if not isinstance(data["device"], str):
        raise InputError(f"{path}: device is {data['device']!r}, expected text")
    if not isinstance(data["costs"], list) or not data["costs"]:
        raise InputError(f"{path}: costs is empty or no list; expected an entry for each call")
    costs = [_cost(entry, f"{path}: costs[{n}]") for n, entry in enumerate(data["costs"])]
    _expect_distinct(path, costs)
    return data["device"], costs


def _load(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot read a cost profile: {error.strerror}") from error
    except ValueError as error:  # also for what is no UTF-8
        raise InputError(f"{path}: expected the JSON of a cost profile, but {error}") from error


def _expect_fields(data: object, names: Sequence[str], where: str) -> None:
    if not isinstance(data, dict):
        raise InputError(f"{where}: expected an object with the fields {', '.join(names)}")
    for name in data:
        if name not in names:
            raise InputError(f"{where}: unknown field {name!r}; known are {', '.join(names)}")
    for name in names:
        if name not in data:
            raise InputError(f"{where}: field {name!r} is missing")


def _cost(entry: Any, where: str) -> Cost:
    _expect_fields(entry, [field.name for field in fields(Cost)], where)
    try:
        return Cost(**entry)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def _expect_distinct(path: Path, costs: Sequence[Cost]) -> None:
    seen: set[tuple[str, str]] = set()
    for cost in costs:
        key = cost.name, cost.shape
        if key in seen:
            raise InputError(f"{path}: two entries for {cost.name}({cost.shape}); keep one")
        seen.add(key)
