"""A trace: what every rank did, when, and with how many bytes; measured and predicted alike."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import TYPE_CHECKING, Any

from traces.errors import TraceError

if TYPE_CHECKING:
    import pandas as pd

SCHEMA = 1

#: Column name -> numpy dtype, in the order in which they are stored. One row per operation.
#: (rank, seq) identifies a row; two traces of the same run share these keys.
COLUMNS: dict[str, str] = {
    "rank": "int32",
    "seq": "int32",  # position in the rank's own program order, from 0
    "stream": "str",  # "compute", or the communicator's name for a transfer
    "kind": "str",  # compute, wait, send, recv, shift, all_gather, all_reduce, all_to_all
    "name": "str",  # the callable, or what is transferred
    "step": "int32",  # denoising step; -1 before the first
    "layer": "int32",  # -1 outside the blocks
    "start_s": "float64",  # transfers: when this rank asked for it
    "end_s": "float64",  # transfers: when this rank's part was complete; NaN if never seen to end
    "cost_s": "float64",  # compute: time on the device by itself; NaN for everything else
    "host_s": "float64",  # time the rank spent between operations, before this one
    "bytes": "int64",  # payload this rank contributes
    "wire_bytes": "int64",  # of it and of others' forwarded, what this rank puts on the wire
    "group": "str",  # ranks of the communicator, "0,1,2,3"; empty for compute and wait
    "dst": "int32",  # send, shift: the rank sent to; else -1
    "src": "int32",  # recv, shift: the rank received from; else -1
    "waits_for": "int32",  # wait: the seq of the transfer; else -1
    "shape": "str",  # compute: argument shapes; transfers: the payload's, "2x64x128:float32"
}

KINDS = ("compute", "wait", "send", "recv", "shift", "all_gather", "all_reduce", "all_to_all")


@dataclass(frozen=True)
class Run:
    """What was run, on what; the header of a trace."""

    model: str
    schedule: str
    ranks: int
    steps: int
    driver: str  # distributed, local, simulated, or the name of what it was imported from
    device: str  # what the compute times are of
    network: str  # what the transfer times are of
    dtype: str = "float32"
    codec: str = "raw"
    seed: int = 0
    versions: Mapping[str, str] = field(default_factory=dict)
    schema: int = SCHEMA

    @property
    def evidence(self) -> str:
        """What its times are worth: "measured", "measured compute" or "predicted"."""
        return {"distributed": "measured", "local": "measured compute"}.get(
            self.driver, "predicted"
        )

    def to_json(self) -> dict[str, Any]:
        """Plain types, for run.json."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: object, where: str) -> Run:
        """Read a header back; raises TraceError naming `where` and the field at fault."""
        if not isinstance(data, dict):
            raise TraceError(f"{where}: expected a JSON object that describes a run")
        if data.get("schema") != SCHEMA:
            raise TraceError(
                f"{where}: schema is {data.get('schema')!r}, but this thinwire reads {SCHEMA}; "
                "record the trace again or use the version that wrote it"
            )
        known = {f.name: f for f in fields(cls)}
        for name in data:
            if name not in known:
                raise TraceError(f"{where}: unknown field {name!r}; known are {', '.join(known)}")
        for name in ("model", "schedule", "ranks", "steps", "driver", "device", "network"):
            if name not in data:
                raise TraceError(f"{where}: field {name!r} is missing")
        for name in ("ranks", "steps"):
            if not isinstance(data[name], int) or data[name] < 1:
                raise TraceError(f"{where}: {name} is {data[name]!r}, expected an integer above 0")
        return cls(**data)
