"""Which experts tokens go to: how many to each, by step, layer, class and place in the image."""

from __future__ import annotations

from collections import defaultdict
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from analysis.choices import Choices, choices, labels, no_class
from analysis.gaps import Gaps

if TYPE_CHECKING:
    from traces.trace import Trace

Counts = NDArray[np.float64]


def loads(trace: Trace) -> xr.Dataset:
    """Slots that fall to each expert; a token has k slots, one for each expert that it chose.

    `load` (layer, step, rank, expert): of the rank's tokens. `load_by_token` (layer, token,
    expert): by the token's place in its image, over all steps, ranks and images. Where labels were
    kept, `load_by_class` (layer, class, expert), over all steps and tokens: forwards for nothing
    in particular are the class that attribute "no_class" names.

    Reads a rank's layer step by step. NaN where a rank kept no choices at a step: attribute "gaps"
    says so, and that the other two are sums of what was kept. Raises InputError where none were.
    """
    kept, gaps = choices(trace), Gaps(trace.problems)
    classes = {rank: labels(trace, rank) for rank in kept.ranks}
    load = np.full((len(kept.layers), trace.run.steps, trace.run.ranks, kept.experts), np.nan)
    by_token = np.zeros((len(kept.layers), kept.tokens, kept.experts))
    by_class = [_Table(kept.experts) for _ in kept.layers]
    for place, layer in enumerate(kept.layers):
        for rank in kept.ranks:
            for step, chosen, _ in kept.of(rank, layer):
                hot = _one_hot(chosen, kept.experts)
                load[place, step, rank] = hot.sum(axis=0)
                by_image = hot.reshape(-1, kept.tokens, kept.experts)
                by_token[place] += by_image.sum(axis=0)
                if (drawn := classes[rank]) is not None:
                    by_class[place].add(drawn, hot.reshape(len(drawn), -1, kept.experts).sum(1))
        _missing(load[place], layer, gaps)
    found = xr.Dataset(
        {
            "load": (("layer", "step", "rank", "expert"), load),
            "load_by_token": (("layer", "token", "expert"), by_token),
        },
        {"layer": kept.layers, "step": list(range(trace.run.steps))},
    )
    if any(drawn is not None for drawn in classes.values()):
        numbers = sorted({number for table in by_class for number in table.sums})
        rows = np.stack([table.rows(numbers) for table in by_class])
        found["load_by_class"] = (("layer", "class", "expert"), rows)
        found = found.assign_coords({"class": numbers})
    for name in found.data_vars:
        found[name].attrs["units"] = "slots"
    return found.assign_attrs(about(trace, kept), gaps=gaps.text)


def about(trace: Trace, kept: Choices) -> dict[str, Any]:
    """Attributes of results on routing."""
    run, none = trace.run, no_class(trace)
    known = {} if none is None else {"no_class": none}
    described = {"model": run.model, "schedule": run.schedule, "evidence": "measured"}
    return described | {"experts": kept.experts, "slots_of_a_token": kept.slots} | known


class _Table:
    """Sums by class."""

    def __init__(self, experts: int) -> None:
        self.sums: dict[int, Counts] = defaultdict(lambda: np.zeros(experts))

    def add(self, classes: NDArray[np.int64], counts: Counts) -> None:
        """Counts (B, E) of B images of these classes (B,)."""
        for number, count in zip(classes.tolist(), counts, strict=True):
            self.sums[number] += count

    def rows(self, numbers: list[int]) -> Counts:
        """Of these classes; NaN for one that was not drawn."""
        nothing = np.full(len(next(iter(self.sums.values()))), np.nan) if self.sums else np.nan
        return np.stack([np.asarray(self.sums.get(number, nothing)) for number in numbers])


def _one_hot(chosen: NDArray[np.int64], experts: int) -> Counts:
    """How many of each token's slots are for each expert, (N, E) of (N, k)."""
    hot = np.zeros((len(chosen), experts))
    np.add.at(hot, (np.arange(len(chosen))[:, None], chosen), 1)
    return hot


def _missing(load: Counts, layer: int, gaps: Gaps) -> None:
    for rank in range(load.shape[1]):
        lost = np.flatnonzero(np.isnan(load[:, rank]).all(axis=1))
        gaps.add(f"no choices kept by rank {rank}", layer, lost.tolist())
