"""What was run, on what: the header of a trace."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any

from traces.errors import TraceError

#: Of what is written now. What older ones lack: traces.columns.SINCE.
SCHEMA = 3
#: Fields that came with later schemas than the first.
_SINCE = {"images": 2}
#: Since when a header need not say how many steps there will be.
_OPEN_ENDED = 3

_MEASURED = ("distributed", "captured", "kineto", "chakra", "execution-trace")
_EVIDENCE = {**dict.fromkeys(_MEASURED, "measured"), "local": "measured compute"}


@dataclass(frozen=True)
class Run:
    """What was run, on what; the header of a trace."""

    model: str
    schedule: str
    ranks: int
    steps: int  # in a header on disk 0: as many as were recorded, which Trace.open counts
    driver: str  # distributed, local, simulated, captured, or what it was imported from
    device: str  # what the compute times are of
    network: str  # what the transfer times are of
    dtype: str = "float32"
    codec: str = "raw"
    seed: int = 0
    images: int = 1  # denoised together: by all ranks, or where each has its own by each
    versions: Mapping[str, str] = field(default_factory=dict)
    started: str = ""  # when it was recorded, ISO 8601 in UTC; empty for what was computed
    schema: int = SCHEMA

    @property
    def evidence(self) -> str:
        """What its times are worth: "measured", "measured compute" or "predicted"."""
        return _EVIDENCE.get(self.driver, "predicted")

    @property
    def identity(self) -> str:
        """16 hex digits that tell this recording from others; every part of its trace has them."""
        canonical = json.dumps(self.to_json(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(canonical.encode()).hexdigest()[:16]

    def to_json(self) -> dict[str, Any]:
        """Plain types, for run.json: the fields that its schema has."""
        return {name: x for name, x in asdict(self).items() if _SINCE.get(name, 1) <= self.schema}

    @classmethod
    def from_json(cls, data: object, where: str) -> Run:
        """Read a header back; raises TraceError naming `where` and the field at fault."""
        if not isinstance(data, dict):
            raise TraceError(f"{where}: expected a JSON object that describes a run")
        schema = data.get("schema")
        if schema not in range(1, SCHEMA + 1):
            raise TraceError(
                f"{where}: schema is {schema!r}, but this thinwire reads 1 to {SCHEMA}; "
                "record the trace again or use the version that wrote it"
            )
        known = [f.name for f in fields(cls)]
        for name in data:
            if name not in known:
                raise TraceError(f"{where}: unknown field {name!r}; known are {', '.join(known)}")
        for name in ("model", "schedule", "ranks", "steps", "driver", "device", "network"):
            if name not in data:
                raise TraceError(f"{where}: field {name!r} is missing")
        for name, value in data.items():
            if name == "steps" and value == 0 and data["schema"] >= _OPEN_ENDED:
                continue
            if expected := _misfit(name, value):
                raise TraceError(f"{where}: {name} is {value!r}, expected {expected}")
        return cls(**data)


def _misfit(name: str, value: object) -> str | None:
    """What a header's field should be, where it is not."""
    fits, expected = isinstance(value, str), "text"
    if name in ("ranks", "steps", "images"):
        fits, expected = type(value) is int and value > 0, "an integer above 0"
    elif name in ("seed", "schema"):
        fits, expected = type(value) is int, "an integer"
    elif name == "versions":
        fits = isinstance(value, dict) and all(isinstance(v, str) for v in value.values())
        expected = "an object of names and versions"
    return None if fits else expected
