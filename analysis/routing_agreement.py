"""How often tokens go to the same experts as some steps ago, and to the same ranks."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from analysis.choices import Choice, Choices, choices, owners
from analysis.gaps import Gaps
from analysis.routing import about
from analysis.sentences import sentence
from traces.errors import InputError

if TYPE_CHECKING:
    from simnet.schedules.expert.placement import Placement
    from traces.trace import Trace

Numbers = NDArray[np.float64]

#: Of a token that chose the experts A now and B before, with k slots.
MEASURES = {
    "top_1": "share of tokens whose best expert is the same",
    "top_k": "|A and B| / k, mean over tokens",
    "jaccard": "|A and B| / |A or B|, mean over tokens",
    "weighted": "sum over experts of min(w, w_old), w the scores of the chosen, scaled to sum to 1",
    "destination": "slots that go to the same rank, of k: sum over ranks of min(n, n_old) / k",
}


def agreement(trace: Trace, lags: int = 4, placement: Placement | None = None) -> xr.Dataset:
    """MEASURES, each of dims (layer, step, lag), of choices at a step and so many steps before.

    Means over all tokens of all ranks, from 0 to 1. `weighted` is NaN where scores were not kept,
    `destination` where the run's ranks cannot share the experts evenly; `placement` says who has
    which, by default as the run's schedule has it.

    Reads a rank's layer step by step, and holds `lags` + 1 steps of it. NaN where one of the two
    steps was not kept: attribute "gaps" says why. Raises InputError where no choices were kept,
    for less than one lag, and where there are not two steps.
    """
    if lags < 1:
        raise InputError(f"lags is {lags}, expected 1 or more")
    if trace.run.steps < 2:
        raise InputError("agreement of choices: one step has nothing to agree with")
    kept, gaps, reasons = choices(trace), Gaps(trace.problems), []
    lags = min(lags, trace.run.steps - 1)
    owner = None
    try:
        owner = owners(trace, kept.experts, placement)
    except InputError as error:
        reasons.append(f"destination: {error}")
    if kept.scores is None:
        reasons.append("weighted: no scores were kept")
    values = np.stack([_of_layer(kept, layer, lags, owner, gaps) for layer in kept.layers])
    dims = ("layer", "step", "lag")
    found = xr.Dataset(
        {name: (dims, values[..., place]) for place, name in enumerate(MEASURES)},
        {
            "layer": kept.layers,
            "step": list(range(trace.run.steps)),
            "lag": list(range(1, lags + 1)),
        },
    )
    for name, formula in MEASURES.items():
        found[name].attrs = {"units": "1", "long_name": formula}
    found["lag"].attrs["units"] = found["step"].attrs["units"] = "denoising steps"
    lines = "; ".join(filter(None, [gaps.text, *reasons]))
    same = sentence("{:.1%} of best experts are those of a step before", found["top_1"].sel(lag=1))
    return found.assign_attrs(about(trace, kept), summary=same, gaps=lines)


class _Step(NamedTuple):
    """What is needed of a step's choices, for later ones."""

    step: int
    best: NDArray[np.int64]  # (N,)
    hot: NDArray[np.bool_]  # (N, E)
    weights: Numbers | None  # (N, E), those of the chosen, which sum to 1
    ranks: Numbers | None  # (N, P), slots that go to each


def _of_layer(
    kept: Choices, layer: int, lags: int, owner: NDArray[np.int64] | None, gaps: Gaps
) -> Numbers:
    """(S, lags, 5), of all ranks."""
    steps = kept.trace.run.steps
    sums = np.zeros((steps, lags, len(MEASURES)))
    tokens = kept.chosen.shape[-2] * len(kept.ranks)
    for rank in kept.ranks:
        seen = np.zeros(steps, bool)
        compared = np.full_like(sums, np.nan)
        before: deque[_Step] = deque(maxlen=lags)
        for choice in kept.of(rank, layer):
            now = _step(choice, kept.experts, owner)
            seen[now.step] = True
            for old in before:
                if now.step - old.step <= lags:
                    compared[now.step, now.step - old.step - 1] = _compared(now, old, kept.slots)
            before.append(now)
        sums += compared
        lost = np.flatnonzero(~seen).tolist()
        gaps.add(f"no choices kept by rank {rank}", layer, lost)
    return sums / tokens


def _step(choice: Choice, experts: int, owner: NDArray[np.int64] | None) -> _Step:
    hot = np.zeros((len(choice.chosen), experts), bool)
    np.put_along_axis(hot, choice.chosen, values=True, axis=1)
    weights = ranks = None
    if choice.scores is not None:
        chosen = np.where(hot, choice.scores, 0.0)
        total = chosen.sum(axis=1, keepdims=True)
        weights = chosen / np.where(total > 0, total, np.nan)
    if owner is not None:
        ranks = np.zeros((len(hot), int(owner.max()) + 1))
        np.add.at(ranks, (np.arange(len(hot))[:, None], owner[choice.chosen]), 1)
    return _Step(choice.step, choice.chosen[:, 0], hot, weights, ranks)


def _compared(now: _Step, old: _Step, slots: int) -> list[float]:
    """Sums over tokens, in the order of MEASURES."""
    both = (now.hot & old.hot).sum(axis=1)
    either = (now.hot | old.hot).sum(axis=1)
    weighted = destination = float("nan")
    if now.weights is not None and old.weights is not None:
        weighted = float(np.minimum(now.weights, old.weights).sum())
    if now.ranks is not None and old.ranks is not None:
        destination = float(np.minimum(now.ranks, old.ranks).sum()) / slots
    same = float((now.best == old.best).sum())
    return [same, float(both.sum()) / slots, float((both / either).sum()), weighted, destination]
