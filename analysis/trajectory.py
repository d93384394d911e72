"""The path that a tensor takes from step to step, on the plane where most of it happens."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from analysis.gaps import Gaps
from analysis.gram import Flags, Gram, Matrix, of_blocks
from analysis.plane import plane
from analysis.results import described, ratio
from analysis.sentences import sentence
from analysis.tensors import BLOCK_BYTES, Array, OneHot, Tensor, pieces, tensor
from traces.errors import InputError

if TYPE_CHECKING:
    import torch

    from traces.trace import Trace

Tensors = Mapping[str, Tensor]

#: Of a step's array, the axis of which each rank has a part.
_TOKENS = -2
_ALONG = ("trace", "layer", "step")
#: Of each variable its dims, and its unit.
_VARIABLES = {
    "score": ((*_ALONG, "component"), "units of the activation"),
    "off_plane": (_ALONG, "units of the activation"),
    "relative_deviation": (_ALONG, "1"),
    "explained_variance": (("layer", "component"), "1"),
}


def trajectory(trace: Trace, name: str, among: Mapping[str, Trace] | None = None) -> xr.Dataset:
    """As `trajectories`, of this trace, by its schedule's name; or of all `among`, it the first."""
    return trajectories(among or {trace.run.schedule: trace}, name)


def trajectories(
    traces: Mapping[str, Trace],
    name: str,
    *,
    device: torch.device | None = None,
    block_bytes: int = BLOCK_BYTES,
) -> xr.Dataset:
    """Principal components of a kept tensor over the steps of the first trace, and all along them.

    The tensor of a step is one point, of all ranks: their tokens follow each other, so traces with
    other numbers of ranks can be compared. Of dims (trace, layer, step, component): `score`, in
    units of the activation. (layer, component): `explained_variance` of the first trace, a share.
    (trace, layer, step): `off_plane`, the distance from what these components span, and
    `relative_deviation`, |x - y| / |y| from the first trace's y of that step.

    Computed from distances between all steps, read in blocks of at most `block_bytes` and
    multiplied on `device`. NaN where a step is missing or not finite, and for components beyond the
    directions that there are: attribute "gaps". Raises InputError for an unknown name, for choices
    of experts, and for tensors whose shapes or layers do not fit together.
    """
    tensors = {label: tensor(trace, name) for label, trace in traces.items()}
    first = next(iter(tensors.values()))
    for label, what in tensors.items():
        _check(label, what, first)
    lost = (f"{label}: {line}" for label, trace in traces.items() for line in trace.problems)
    gaps, points = Gaps(tuple(lost)), _Points.of_all(tensors)
    layers = []
    for layer in first.layers:
        blocks = _blocks(tensors, layer, block_bytes)
        gram = of_blocks((block[points.order] for block in blocks), len(points.order), device)
        layers.append(_of_layer(points, layer, gram, gaps))
        for label, what in tensors.items():
            gaps.add(f"{label}: not kept", layer, set(range(what.steps)) - set(what.kept_steps))
    result = xr.Dataset(
        {
            key: (dims, np.stack([of[key] for of in layers], dims.index("layer")), {"units": unit})
            for key, (dims, unit) in _VARIABLES.items()
        },
        {"trace": list(tensors), "layer": first.layers, "step": list(range(points.steps))},
    )
    result["step"].attrs["units"] = "denoising steps"
    about = described(next(iter(traces.values())), first)
    return result.assign_attrs(about, gaps=gaps.text, summary=_summary(result))


def _summary(result: xr.Dataset) -> str:
    share = result["explained_variance"].isel(component=slice(2)).sum("component", skipna=False)
    apart = result["relative_deviation"].isel(trace=slice(1, None))
    parts = [sentence("{:.0%} of the variance on two axes", share)]
    parts += [sentence(f"{of.trace.item()} is {{:.2g}} off", of) for of in apart]
    return ", ".join(filter(None, parts))


@dataclass(frozen=True)
class _Points:
    """The P steps of all traces, one step's of all traces after each other.

    So from one point to the next the change is small, which is what products are made of.
    """

    labels: list[str]
    steps: int
    trace: NDArray[np.intp]  # (P,), its place
    step: NDArray[np.intp]  # (P,)
    order: NDArray[np.intp]  # (P,), of each where it is if traces come after each other

    @classmethod
    def of_all(cls, tensors: Tensors) -> _Points:
        """All that were kept."""
        kept = [what.kept_steps for what in tensors.values()]
        trace = np.repeat(np.arange(len(kept)), [len(steps) for steps in kept])
        step = np.concatenate(kept)
        order = np.lexsort((trace, step))
        steps = max(what.steps for what in tensors.values())
        return cls(list(tensors), steps, trace[order], step[order], order)

    def spread(self, values: Matrix) -> Matrix:
        """(P, ...) as (trace, step, ...), NaN where there is no point."""
        found = np.full((len(self.labels), self.steps, *values.shape[1:]), np.nan)
        found[self.trace, self.step] = values
        return found

    def at_first(self) -> NDArray[np.intp]:
        """(P,), the point of the first trace in the same step; the point itself where none is."""
        first = {step: at for at, step in enumerate(self.step) if self.trace[at] == 0}
        return np.array([first.get(step, at) for at, step in enumerate(self.step)])

    def say(self, gaps: Gaps, layer: int, reason: str, missing: Flags) -> None:
        """Why some points (P,) are missing."""
        for place, label in enumerate(self.labels):
            mine = self.step[missing & (self.trace == place)]
            gaps.add(f"{label}: {reason}", layer, mine.tolist())


def _of_layer(points: _Points, layer: int, gram: Gram, gaps: Gaps) -> dict[str, Matrix]:
    """One layer's variables, without that axis."""
    points.say(gaps, layer, "not kept", ~gram.kept)
    points.say(gaps, layer, "NaN or infinity", gram.kept & ~gram.finite)
    usable, mine = np.where(gram.finite, 1.0, np.nan), points.trace == 0
    distances = gram.squared_distances
    found = plane(distances, mine & gram.finite)
    if few := int(np.isnan(found.explained).sum()):
        points.say(gaps, layer, f"so few directions that {few} components lack", mine)
    there, at = np.arange(len(usable)), points.at_first()
    of_first = np.where(points.trace[at] == 0, usable[at], np.nan)
    norms = np.sqrt(gram.squares)[at]
    deviation = ratio(np.sqrt(distances[there, at]), norms) * of_first * usable
    return {
        "score": points.spread(found.score * usable[:, None]),
        "off_plane": points.spread(np.sqrt(found.squared_off) * usable),
        "relative_deviation": points.spread(deviation),
        "explained_variance": found.explained,
    }


def _check(label: str, what: Tensor, first: Tensor) -> None:
    if isinstance(what.layout, OneHot) or len(what.cell) < 2:
        raise InputError(f"{what.name!r} has no path: it is no matrix of tokens by channels")
    if what.layers != first.layers:
        raise InputError(
            f"{label}: {what.name!r} was kept in layers {what.layers}, but {first.layers} in the "
            "first trace; record both with the same model"
        )
    for layer in first.layers:
        if (found := _whole(what, layer)) != (expected := _whole(first, layer)):
            raise InputError(
                f"{label}: {what.name!r} of layer {layer} is {found} over all ranks that kept it, "
                f"but {expected} in the first trace; record both with the same model and images, "
                "and leave out traces that lack a rank"
            )


def _whole(what: Tensor, layer: int) -> tuple[int, ...]:
    """The shape of a step's array of all ranks together."""
    tokens = what.cell[_TOKENS] * len(what.holders(layer))
    return (*what.cell[:_TOKENS], tokens, what.cell[-1])


def _blocks(tensors: Tensors, layer: int, block_bytes: int) -> Iterator[Array]:
    """(P, n): all steps of one trace after those of another, a few numbers of every step at once.

    Ranks' tokens come together, and so are never cut.
    """
    whole = _whole(next(iter(tensors.values())), layer)
    points = sum(len(what.kept_steps) for what in tensors.values())
    most = max(1, block_bytes // (4 * points * max(1, whole[_TOKENS])))
    for piece in pieces((*whole[:_TOKENS], whole[-1]), most):
        full = (*piece, *(slice(None),) * (len(whole) - 1 - len(piece)))
        cut = (slice(None), *full[:-1], slice(None), full[-1])
        yield np.concatenate([_joined(what, layer, cut) for what in tensors.values()])


def _joined(what: Tensor, layer: int, cut: tuple[slice, ...]) -> Array:
    """One trace's, (S, n)."""
    of_layer = what.array.sel(layer=layer)
    parts = [of_layer.sel(rank=rank)[cut].to_numpy() for rank in what.holders(layer)]
    if not parts:
        return np.full((len(what.kept_steps), 1), np.nan, np.float32)
    joined = np.concatenate(parts, axis=_TOKENS)
    return joined.reshape(len(joined), math.prod(joined.shape[1:]))
