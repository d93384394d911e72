"""A trace: what every rank did, when, and with how many bytes; measured and predicted alike."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING

from traces.columns import COLUMNS
from traces.errors import unknown
from traces.run import Run

if TYPE_CHECKING:
    import pandas as pd
    import xarray as xr

    from traces.activation import Catalogue
    from traces.clocks import RankClock
    from traces.part import Part


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
            self.run = reading.counted(run, self._parts)
            if ops is None:
                self.problems += reading.problems(folder, self.run, self._parts)

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

    @property
    def clocks(self) -> dict[int, RankClock]:
        """By rank, how its times were brought onto the common axis, where that was recorded."""
        from traces import reading

        return reading.clocks(self._parts)

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

    def reduced(self) -> tuple[str, ...]:
        """Names of the activations of which sketches were kept. Raises TraceError for damage."""
        from traces import reduced

        return reduced.names(self._parts, self.run.steps)

    def sketches(self, name: str) -> xr.Dataset:
        """Norms, similarities and moments of an activation that was reduced; see traces.reduced.

        Raises InputError for an unknown name, TraceError for a damaged file.
        """
        from traces import reduced

        return reduced.read(self._parts, self.run.steps, name)

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
