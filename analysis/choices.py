"""What a run's gates chose, read layer by layer and step by step; and which rank has what expert.

Shapes: N tokens of a rank, all its images' together; E experts, k slots of a token.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analysis.tensors import OneHot, grid, tensor
from simnet.models.presets import PRESETS
from simnet.schedules.expert.placement import STRIDED, Placement
from traces.errors import InputError

if TYPE_CHECKING:
    import xarray as xr

    from traces.trace import Trace

_HELP = "record with --keep chosen,scores, with a schedule that sends tokens to experts"


class Choice(NamedTuple):
    """Of a rank's tokens at one step and layer."""

    step: int
    chosen: NDArray[np.int64]  # (N, k), the best first
    scores: NDArray[np.float64] | None  # (N, E); None where none were kept


@dataclass(frozen=True)
class Choices:
    """What was kept of them in a trace."""

    trace: Trace
    experts: int  # E
    tokens: int  # of an image, whose tokens follow each other
    chosen: xr.DataArray  # (rank, step, layer, N, k)
    scores: xr.DataArray | None

    @property
    def ranks(self) -> list[int]:
        """That kept any."""
        return [int(rank) for rank in self.chosen["rank"]]

    @property
    def layers(self) -> list[int]:
        """At which they were kept."""
        return [int(layer) for layer in self.chosen["layer"]]

    @property
    def slots(self) -> int:
        """K, of a token."""
        return self.chosen.shape[-1]

    def of(self, rank: int, layer: int) -> Iterator[Choice]:
        """One step after the other; those that were not kept are left out."""
        chosen = self.chosen.sel(rank=rank, layer=layer)
        for place, step in enumerate(self.chosen["step"].to_numpy()):
            numbers = chosen[place].to_numpy()
            if not np.isnan(numbers).any():
                weights = self._scores(rank, layer, int(step))
                yield Choice(int(step), numbers.astype(np.int64), weights)

    def _scores(self, rank: int, layer: int, step: int) -> NDArray[np.float64] | None:
        place = {"rank": rank, "layer": layer, "step": step}
        if self.scores is None or any(at not in self.scores[key] for key, at in place.items()):
            return None
        found = self.scores.sel(place).to_numpy().astype(np.float64)
        return None if np.isnan(found).any() else found


def choices(trace: Trace) -> Choices:
    """Raises InputError where a trace has kept none."""
    if "chosen" not in trace.kept():
        raise InputError(f"no choices of experts were kept; {_HELP}")
    layout = tensor(trace, "chosen").layout
    assert isinstance(layout, OneHot)
    chosen = trace.activations("chosen")
    scores = trace.activations("scores") if "scores" in trace.kept() else None
    rows, sides = chosen.shape[-2], grid(trace)
    tokens = int(np.prod(sides)) if sides else rows
    return Choices(trace, layout.experts, tokens if rows % tokens == 0 else rows, chosen, scores)


def labels(trace: Trace, rank: int) -> NDArray[np.int64] | None:
    """The class of each of a rank's images (B,), of all forwards; None where none were kept."""
    if "label" not in trace.kept():
        return None
    kept = trace.activations("label")
    if kept.ndim != 4 or rank not in kept["rank"]:  # texts are no classes
        return None
    first = kept.sel(rank=rank).isel(step=0, layer=0).to_numpy()
    return None if np.isnan(first).any() else first.astype(np.int64)


def no_class(trace: Trace) -> int | None:
    """The number that stands for no class in particular; None where the model is not known."""
    shape = PRESETS.get(trace.run.model)
    return None if shape is None else shape.classes


def teams(trace: Trace) -> list[tuple[int, ...]]:
    """Ranks that share the experts, as the run's dispatches say; else all together."""
    ops = trace.ops
    groups = ops.loc[(ops["kind"] == "all_to_all") & (ops["name"] == "dispatch"), "group"].unique()
    found = sorted(tuple(map(int, str(group).split(","))) for group in groups)
    return found or [tuple(range(trace.run.ranks))]


def owners(trace: Trace, experts: int, placement: Placement | None) -> NDArray[np.int64]:
    """The place in its team of the rank that has each expert, (E,).

    By default as the run's schedule placed them. Raises InputError where they cannot be shared
    evenly.
    """
    members = len(teams(trace)[0])
    if experts % members:
        raise InputError(f"{experts} experts, which {members} ranks cannot share evenly")
    order = (placement or placed(trace)).order(experts, members)
    place = np.empty(experts, np.int64)
    place[list(order)] = np.repeat(np.arange(members), experts // members)
    return place


def placed(trace: Trace) -> Placement:
    """The placement that the run's schedule has; strided where it has none."""
    found: Any = getattr(_schedule(trace), "placement", None)
    return found if isinstance(found, Placement) else STRIDED


def check_uneven(trace: Trace) -> None:
    """Raises InputError for a schedule whose experts take a fixed number of rows."""
    capacity: Any = getattr(_schedule(trace), "capacity", None)
    if capacity is not None and capacity.value:
        raise InputError(
            f"{trace.run.schedule}: with a capacity all parts are equal, whatever is chosen"
        )


def row_bytes(trace: Trace) -> int:
    """Of a token on its way to an expert. Raises InputError for a model that is not known."""
    from simnet.job import Job
    from simnet.models.presets import preset

    width = preset(trace.run.model).hidden
    item = Job(trace.run.model, dtype=trace.run.dtype).torch_dtype.itemsize
    wire: Any = getattr(_schedule(trace), "wire", None)
    return width * item if wire is None else int(wire.row_bytes(width, item))


def _schedule(trace: Trace) -> Any:
    """The innermost schedule of the run; None for one that is not ours."""
    from simnet.schedules.named import innermost, schedule

    try:
        return innermost(schedule(trace.run.schedule))
    except InputError:
        return None
