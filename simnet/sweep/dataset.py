"""A sweep's results as arrays with named dimensions: an axis each, or for a sample the points."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr

from simnet.sweep.axes import Axis
from simnet.sweep.design import Design
from simnet.sweep.results import EVALUATORS, Outcome, bandwidth_bps, latency_s
from traces.files import replacing

if TYPE_CHECKING:
    from numpy.typing import NDArray

_TIMES = ("total_s", "compute_s", "exposed_s")
_BYTES = ("wire_bytes", "memory_bytes")
_SAYS = {
    "total_s": "latency of the run, of the rank that finishes last",
    "compute_s": "what that rank computes",
    "exposed_s": "what that rank waits for transfers",
    "wire_bytes": "what all ranks put on the wire",
    "memory_bytes": "weights and what is kept from step to step, of the rank that has most",
    "evaluator": "what the times are from",
}


class Arrays:
    """Gathers outcomes: about 30 bytes for each point, and 16 for each case.

    What does not depend on the network has the dimensions of cases alone. A point that cannot run
    is NaN.
    """

    def __init__(self, design: Design) -> None:
        self.design = design
        points, cases = len(design), int(np.prod(design.shape))
        self.times = {name: np.full(points, np.nan) for name in _TIMES}
        self.evaluator = np.zeros(points, np.int8)
        self.per_case = {name: np.full(cases, np.nan) for name in _BYTES}
        self.grid = design.sweep.drawn is None
        self.cases = np.zeros(0 if self.grid else points, np.int32)
        self.drawn = {
            axis.column: np.zeros(points)
            for axis in (() if self.grid else design.sweep.network_axes)
        }

    def add(self, outcome: Outcome) -> None:
        """All points of a case."""
        group, rows = outcome.group, outcome.rows
        for name in _TIMES:
            self.times[name][group.points] = rows[name]
        self.evaluator[group.points] = rows["evaluator"]
        place = int(np.ravel_multi_index(group.at, self.design.shape))
        for name in _BYTES:
            value = getattr(outcome.facts, name)
            self.per_case[name][place] = np.nan if value is None else value
        if self.grid:
            return
        self.cases[group.points] = place
        given = {name: group.settings[name] for name in ("jitter_s", "seed")}
        given |= {"network": group.network, "bandwidth_bps": bandwidth_bps(self.design, group)}
        given["latency_s"] = latency_s(self.design, group)
        for name, values in given.items():
            self.drawn[name][group.points] = values

    def dataset(self) -> xr.Dataset:
        """Everything, with units."""
        made = self._grid() if self.grid else self._points()
        sweep = self.design.sweep
        made.attrs = {"title": sweep.name, "evidence": "predicted", "sample": sweep.sample}
        made["evaluator"].attrs |= _flags(EVALUATORS)
        for name, variable in made.variables.items():
            if name in _SAYS:
                variable.attrs["long_name"] = _SAYS[str(name)]
            if (unit := _unit(str(name))) is not None:
                variable.attrs["units"] = unit
        return made

    def _grid(self) -> xr.Dataset:
        """Axes with one value are no dimensions but coordinates by themselves."""
        axes = [*self.design.sweep.case_axes, *self.design.sweep.network_axes]
        cases = self.design.sweep.case_axes
        variables: dict[str, Any] = {
            name: _shaped(values, axes) for name, values in self.times.items()
        }
        variables |= {name: _shaped(values, cases) for name, values in self.per_case.items()}
        variables["evaluator"] = _shaped(self.evaluator, axes)
        coordinates = {
            axis.column: (axis.column, _labels(axis)) if axis.varies else _labels(axis)[0]
            for axis in axes
            if axis.varies or not _unset(axis)
        }
        return xr.Dataset(variables, coordinates)

    def _points(self) -> xr.Dataset:
        """One dimension; names stand as numbers, whose meaning is beside them (CF: flags)."""
        variables: dict[str, Any] = {name: ("point", each) for name, each in self.times.items()}
        variables |= {name: ("point", each[self.cases]) for name, each in self.per_case.items()}
        variables["evaluator"] = "point", self.evaluator
        places = np.unravel_index(self.cases, self.design.shape)
        for axis, place in zip(self.design.sweep.case_axes, places, strict=True):
            labels = _labels(axis)
            named = labels.dtype.kind == "U"
            values = place.astype(np.int32) if named else labels[place]
            if named or not _unset(axis):
                variables[axis.column] = "point", values, _flags(labels) if named else {}
        for name, values in self.drawn.items():
            variables[name] = "point", values
        networks = self.design.sweep.axes["networks"].labels
        variables["network"] = "point", self.drawn["network"].astype(np.int32), _flags(networks)
        return xr.Dataset(variables)


def save(made: xr.Dataset, path: Path) -> None:
    """As NetCDF (version 3); raises InputError or RunError where it cannot be written."""
    with replacing(path) as temporary:
        made.to_netcdf(temporary, engine="scipy", format="NETCDF3_64BIT")


def _shaped(values: NDArray[Any], axes: list[Axis]) -> tuple[list[str], NDArray[Any]]:
    varying = [axis for axis in axes if axis.varies]
    shape = [len(axis) for axis in varying]
    return [axis.column for axis in varying], values.reshape(shape)


def _labels(axis: Axis) -> NDArray[Any]:
    labels = axis.labels
    if axis.column == "codec":
        labels = ["none" if label is None else label for label in labels]
    if any(isinstance(label, str) for label in labels):
        return np.array(labels, np.str_)
    return np.array([np.nan if label is None else label for label in labels])


def _unset(axis: Axis) -> bool:
    """Whether the file says nothing of it, so that it is as each case or network has it."""
    return len(axis) == 1 and (axis.values[0] is None or axis.values[0] != axis.values[0])


def _flags(labels: Any) -> dict[str, Any]:
    """What numbers mean, as the CF conventions (section 3.5) have it."""
    names = [str(label).replace(" ", "_") or "-" for label in labels]
    return {"flag_values": np.arange(len(names), dtype=np.int32), "flag_meanings": " ".join(names)}


def _unit(name: str) -> str | None:
    for ending, unit in (("_bps", "bit/s"), ("_bytes", "byte"), ("_s", "s")):
        if name.endswith(ending):
            return unit
    return None
