"""What old outputs of experts do wrong, by the score that the router gave them.

DICE (arXiv 2411.16786, section "Conditional Communication") leaves out a token's slot of the lower
score, since what it does to the token's output is in proportion to its score.
"""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from analysis.choices import Choices, choices
from analysis.gaps import Gaps
from analysis.results import ratio
from analysis.routing import about
from traces.errors import InputError

if TYPE_CHECKING:
    from traces.trace import Trace

Numbers = NDArray[np.float64]

NEEDS = ("outputs", "chosen", "scores", "age")
_HELP = f"record with --keep {','.join(NEEDS)}, and --schedule expert"


def error_by_score(trace: Trace, age: int = 1, bins: int = 10) -> xr.Dataset:
    """Errors of an expert's output for a token of `age` steps ago, by (layer, slot, score).

    y_t = sum over slots of s o_t is what the experts give a token, o_t a slot's output and s its
    score, which is binned: `score` is the middle of its bin, of as many equal ones from 0 to 1.
    `relative_l2`: mean over tokens and steps of |o_t - o_(t-age)| / |o_t|, for the same expert,
    whichever slot it was then. `weighed`: the mean of s |o_t - o_(t-age)| / |y_t|, what it does to
    the token's output. `count` of slots that these are means of, and `unmatched`, of those whose
    expert had not been the token's, so that there is no old output to use.

    Reads a rank's layer step by step, and holds `age` + 1 steps of it. NaN where no score falls
    into a bin; steps that were not kept, or whose outputs were old already, are left out: attribute
    "gaps" says which. Raises InputError where one of NEEDS was not kept, where no outputs were
    fresh, and for no bins or an age that there cannot be.
    """
    _check(trace, age, bins)
    kept, gaps = choices(trace), Gaps(trace.problems)
    sums = np.zeros((len(kept.layers), kept.slots, bins, 4))
    for place, layer in enumerate(kept.layers):
        for rank in kept.ranks:
            sums[place] += _of_rank(kept, (rank, layer), age, bins, gaps)
    if not sums[..., 2:].any():
        raise InputError(f"no fresh outputs of experts {age} steps apart were kept; {_HELP}")
    count = sums[..., 2]
    dims = ("layer", "slot", "score")
    edges = np.linspace(0, 1, bins + 1)
    found = xr.Dataset(
        {
            "relative_l2": (dims, ratio(sums[..., 0], count)),
            "weighed": (dims, ratio(sums[..., 1], count)),
            "count": (dims, count.astype(np.int64)),
            "unmatched": (dims, sums[..., 3].astype(np.int64)),
        },
        {"layer": kept.layers, "slot": range(kept.slots), "score": (edges[1:] + edges[:-1]) / 2},
    )
    for name, unit in zip(found.data_vars, ("1", "1", "slots", "slots"), strict=True):
        found[name].attrs["units"] = unit
    return found.assign_attrs(about(trace, kept), age=age, gaps=gaps.text)


def _check(trace: Trace, age: int, bins: int) -> None:
    for name in NEEDS:
        if name not in trace.kept():
            raise InputError(f"error by score: no {name} were kept; {_HELP}")
    if bins < 1:
        raise InputError(f"error by score: bins is {bins}, expected 1 or more")
    if not 1 <= age < trace.run.steps:
        raise InputError(
            f"error by score: age is {age}, expected 1 to {trace.run.steps - 1}, for the run has "
            f"{trace.run.steps} steps"
        )


class _Outputs(NamedTuple):
    """Of one rank's tokens at a step and layer."""

    step: int
    chosen: NDArray[np.int64]  # (N, k)
    scores: Numbers  # (N, k), of the chosen
    out: Numbers  # (N, k, D), not weighed


def _of_rank(kept: Choices, place: tuple[int, int], age: int, bins: int, gaps: Gaps) -> Numbers:
    """(k, bins, 4): sums of both errors, how many they are of, and the unmatched."""
    rank, layer = place
    sums = np.zeros((kept.slots, bins, 4))
    outputs = kept.trace.activations("outputs").sel(rank=rank, layer=layer)
    ages = kept.trace.activations("age").sel(rank=rank, layer=layer)
    before: deque[_Outputs] = deque(maxlen=age)
    used = set()
    for step, chosen, scores in kept.of(rank, layer):
        if scores is None or ages.sel(step=step).to_numpy().any():
            continue
        out = outputs.sel(step=step).to_numpy().astype(np.float64)
        if not np.isfinite(out).all():
            continue
        used.add(step)
        now = _Outputs(step, chosen, np.take_along_axis(scores, chosen, axis=1), out)
        if before and before[0].step == step - age:
            _add(sums, now, before[0])
        while before and before[0].step <= step - age:
            before.popleft()
        before.append(now)
    lost = sorted(set(range(kept.trace.run.steps)) - used)
    gaps.add(f"of rank {rank} nothing was kept, or outputs were old already", layer, lost)
    return sums


def _add(sums: Numbers, now: _Outputs, old: _Outputs) -> None:
    same = now.chosen[:, :, None] == old.chosen[:, None, :]  # (N, k, k)
    matched = same.any(axis=2)
    theirs = np.take_along_axis(old.out, same.argmax(axis=2)[..., None], axis=1)
    off = np.linalg.norm(now.out - theirs, axis=2)
    relative = ratio(off, np.linalg.norm(now.out, axis=2))
    total = np.linalg.norm((now.out * now.scores[..., None]).sum(axis=1), axis=1)
    weighed = ratio(now.scores * off, total[:, None])
    usable = matched & np.isfinite(relative) & np.isfinite(weighed)
    slots, bins = sums.shape[:2]
    bin_ = np.clip((now.scores * bins).astype(np.int64), 0, bins - 1)
    for slot in range(slots):
        where, of = bin_[:, slot], usable[:, slot]
        for place, values in enumerate((relative[:, slot], weighed[:, slot], np.ones(len(of)))):
            sums[slot, :, place] += np.bincount(where[of], values[of], minlength=bins)
        sums[slot, :, 3] += np.bincount(where[~matched[:, slot]], minlength=bins)
