"""A trace: what every rank did, when, and with how many bytes; measured and predicted alike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from traces.errors import TraceError, unknown

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from traces.activation import Catalogue
    from traces.part import Part

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
        known = [f.name for f in fields(cls)]
        for name in data:
            if name not in known:
                raise TraceError(f"{where}: unknown field {name!r}; known are {', '.join(known)}")
        for name in ("model", "schedule", "ranks", "steps", "driver", "device", "network"):
            if name not in data:
                raise TraceError(f"{where}: field {name!r} is missing")
        for name, value in data.items():
            if expected := _misfit(name, value):
                raise TraceError(f"{where}: {name} is {value!r}, expected {expected}")
        return cls(**data)


def _misfit(name: str, value: object) -> str | None:
    """What a header's field should be, where it is not."""
    fits, expected = isinstance(value, str), "text"
    if name in ("ranks", "steps"):
        fits, expected = type(value) is int and value > 0, "an integer above 0"
    elif name in ("seed", "schema"):
        fits, expected = type(value) is int, "an integer"
    elif name == "versions":
        fits, expected = isinstance(value, dict), "an object of names and versions"
    return None if fits else expected


class Trace:
    """A run's header, its table of operations and, on demand, its activations.

    Made from a table, or from a folder of which only what is asked for is read.

    Attributes:
        run: what was run, on what.
        problems: what a killed recording lost, a sentence each; () for a whole trace.
        folder: where it is on disk; None for a trace that was made in memory.
    """

    def __init__(
        self,
        run: Run,
        ops: pd.DataFrame | None = None,
        problems: Iterable[str] = (),
        folder: Path | None = None,
    ) -> None:
        """Raises TraceError where the columns of `ops` are not those of COLUMNS."""
        assert ops is not None or folder is not None, "a trace needs a table or a folder"
        self.run = run
        self.folder = folder
        self.problems = tuple(problems)
        self._ops = ops
        self._parts: Mapping[int, Part] = {}
        if ops is not None:
            from traces.check import conform

            self._ops = conform(ops)
        if folder is not None:
            from traces import reading

            self._parts = reading.parts(folder, run)
            if ops is None:
                self.problems += reading.problems(folder, run, self._parts)

    @classmethod
    def open(cls, path: str | PathLike[str]) -> Trace:
        """Read the header of a trace on disk and see how much there is of each rank.

        Rows are read when they are asked for, and checked then. Raises TraceError where the
        folder is missing, foreign or damaged, or no rank has completed a step.
        """
        from traces import reading

        folder = Path(path)
        return cls(reading.header(folder), folder=folder)

    @property
    def ops(self) -> pd.DataFrame:
        """All rows: the columns of COLUMNS, sorted by rank and seq. Read once, then remembered.

        Raises TraceError naming the file, row and column where a row makes no sense.
        """
        if self._ops is None:
            import pandas as pd

            self._ops = pd.concat(self.scan(), ignore_index=True)
        return self._ops

    def scan(
        self, columns: Sequence[str] | None = None, batch_rows: int = 65536
    ) -> Iterator[pd.DataFrame]:
        """The same rows and order, in batches of one rank each: memory stays bounded.

        Raises TraceError like `ops`, as far as the columns asked for tell, and InputError for a
        column that there is not.
        """
        from traces import reading

        wanted = tuple(COLUMNS if columns is None else columns)
        for name in wanted:
            if name not in COLUMNS:
                raise unknown("column", name, COLUMNS)
        if self._ops is not None:
            return reading.slices(self.run, self._ops, wanted, batch_rows)
        return reading.batches(self.run, self._parts, wanted, batch_rows)

    def kept(self) -> tuple[str, ...]:
        """Names of the activations that were kept, in alphabetical order.

        Raises TraceError for a damaged file.
        """
        return tuple(sorted(self._catalogue))

    def activations(self, name: str) -> xr.DataArray:
        """A kept activation, float32, dims (rank, step, layer, d0, d1, ...).

        Nothing is read until it is indexed, and then only what is asked for. NaN where a rank
        did not keep it at a step or layer at which others did. Raises InputError for an unknown
        name, TraceError for a damaged file or for shapes that differ.
        """
        from traces import activation

        if name not in self._catalogue:
            raise unknown("activation", name, self._catalogue)
        return activation.labelled(name, self._catalogue[name])

    def save(self, path: str | PathLike[str], *, overwrite: bool = False) -> None:
        """Write it to a folder, whole and closed; rows are checked before anything is written.

        Raises TraceError for rows that make no sense, InputError where `path` is not free.
        """
        from traces import store

        store.save(self, Path(path), overwrite=overwrite)

    @cached_property
    def _catalogue(self) -> Catalogue:
        from traces import activation

        return activation.catalogue(self._parts, self.run.steps)
