"""Cost profiles: how long a model's calls took on some device, as a small JSON file."""

from __future__ import annotations

import json
import reprlib
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from traces.errors import InputError
from traces.files import replacing

#: Of what is written now; 1 has no kinds of blocks, and does not say how it was made.
SCHEMA = 2
_SINCE = {"kind": 2, "made": 2}


@dataclass(frozen=True, slots=True)
class Cost:
    """How long the calls of one name, with arguments of one shape, took."""

    name: str
    shape: str  # as simnet.shapes writes it
    median_s: float
    spread_s: float  # between the quartiles
    minimum_s: float
    count: int  # calls
    kind: str = ""  # of the block whose method it is; "": of any, or of none

    @property
    def key(self) -> tuple[str, str, str]:
        """What tells its calls from others."""
        return self.name, self.shape, self.kind

    def __post_init__(self) -> None:
        """Raises InputError naming the field that makes no sense."""
        for name in ("name", "shape", "kind"):
            if not isinstance(getattr(self, name), str):
                raise InputError(f"{name} is {getattr(self, name)!r}, expected text")
        for name in ("median_s", "spread_s", "minimum_s"):
            value = getattr(self, name)
            if not _is_number(value) or not 0 <= value <= sys.float_info.max:
                raise InputError(
                    f"{name} is {reprlib.repr(value)}, expected seconds, finite and from 0 up"
                )
        if not isinstance(self.count, int) or not _is_number(self.count) or self.count < 1:
            raise InputError(f"count is {self.count!r}, expected a whole number from 1 up")
        if self.minimum_s > self.median_s:
            raise InputError(
                f"minimum_s is {self.minimum_s!r}, more than median_s, {self.median_s!r}"
            )


def _is_number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


@dataclass(frozen=True, slots=True)
class Profile:
    """Costs of a device's calls, and what made them: the command, versions."""

    device: str
    costs: tuple[Cost, ...]
    made: Mapping[str, str] = field(default_factory=dict)


def recorded() -> dict[str, Path]:
    """The profiles that come with this package, by their names."""
    folder = Path(__file__).parent / "profiling" / "recorded"
    return {path.stem: path for path in sorted(folder.glob("*.json"))}


def find(path: Path) -> Path:
    """What is there at this path; else, where it is the name of a recorded profile, that one."""
    return path if path.exists() else recorded().get(str(path), path)


def write(path: Path, profile: Profile) -> None:
    """Write a profile, in whole or not at all. Raises RunError where that is not possible."""
    data = {"profile": SCHEMA, **asdict(profile)}
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(data, indent=1, allow_nan=False) + "\n", encoding="utf-8")


def read(path: Path) -> Profile:
    """The profile in a file.

    Raises InputError naming the file and the entry and field that are missing, unknown or wrong.
    """
    data = _load(path)
    schema = data.get("profile", SCHEMA) if isinstance(data, dict) else SCHEMA
    if schema not in range(1, SCHEMA + 1):
        raise InputError(
            f"{path}: profile is {schema!r}, but this thinwire reads 1 to {SCHEMA}; "
            "measure again or use the version that wrote it"
        )
    _expect_fields(data, _known(("profile", "device", "costs", "made"), schema), f"{path}")
    if not isinstance(data["device"], str):
        raise InputError(f"{path}: device is {data['device']!r}, expected text")
    if not isinstance(data["costs"], list) or not data["costs"]:
        raise InputError(f"{path}: costs is empty or no list; expected an entry for each call")
    names = _known([field.name for field in fields(Cost)], schema)
    costs = [_cost(entry, names, f"{path}: costs[{n}]") for n, entry in enumerate(data["costs"])]
    _expect_distinct(path, costs)
    return Profile(data["device"], tuple(costs), _texts(data.get("made", {}), f"{path}: made"))


def _known(names: Sequence[str], schema: int) -> list[str]:
    """Those of the names that files of a schema have."""
    return [name for name in names if _SINCE.get(name, 1) <= schema]


def _texts(made: object, where: str) -> dict[str, str]:
    if not isinstance(made, dict) or not all(isinstance(text, str) for text in made.values()):
        raise InputError(f"{where} is {made!r}, expected an object of names and texts")
    return made


def _load(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot read a cost profile: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # also for what is no UTF-8
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


def _cost(entry: Any, names: Sequence[str], where: str) -> Cost:
    _expect_fields(entry, names, where)
    try:
        return Cost(**entry)
    except InputError as error:
        raise InputError(f"{where}: {error}") from error


def _expect_distinct(path: Path, costs: Sequence[Cost]) -> None:
    seen: set[tuple[str, str, str]] = set()
    for cost in costs:
        if cost.key in seen:
            raise InputError(f"{path}: two entries for {cost.name}({cost.shape}); keep one")
        seen.add(cost.key)
