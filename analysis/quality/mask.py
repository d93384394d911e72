"""Which layers to keep synchronous: those where old outputs do most harm, as many as time allows.

DICE (arXiv 2411.16786) keeps the deeper half. Here the layers are tried one by one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from torch import Tensor

from analysis.quality.closed_loop import batches, gather
from analysis.quality.forecast import Forecast
from analysis.quality.study import Case, Study
from simnet.models.presets import preset
from simnet.schedules.base import TeamSchedule
from simnet.schedules.named import schedule
from simnet.schedules.single import Single
from traces.errors import InputError


class Harm(NamedTuple):
    """What it does to pictures that one layer alone uses old outputs."""

    layer: int
    error: float  # root mean square, in levels of brightness from 0 to 255


class Mask(NamedTuple):
    """Some synchronous layers, the most harmful ones, and what they cost."""

    layers: int
    sync: str  # of the small model, as `interweaved:sync=` takes it
    predicted_sync: str  # of the model whose latency is predicted: the same shares of its depth
    latency_s: float  # predicted
    share: float  # of what it takes with all layers synchronous


def harms(study: Study, steps: int) -> Iterator[Harm]:
    """Layer by layer: interweaved, all others synchronous, against a single device's pictures."""
    alone, layers = pictures(study, Single(), steps), preset(study.model).layers
    for layer in range(layers):
        old = pictures(study, one_interweaved(layer, layers), steps)
        yield Harm(layer, level_error(old, alone))


def one_interweaved(layer: int, layers: int) -> TeamSchedule:
    """All of so many layers are synchronous but this one."""
    others = [other for other in range(layers) if other != layer]
    return schedule(f"interweaved:sync={written(others)}")


def pictures(study: Study, chosen: TeamSchedule, steps: int) -> Tensor:
    """What a schedule makes of the study's noise, (N, 28, 28) in uint8."""
    job = study.job(Case(chosen.name, chosen, steps))
    return gather(batches(chosen, job, study.images), job, study.images).pictures


def level_error(old: Tensor, alone: Tensor) -> float:
    """The root mean square of how far pictures are apart, in levels from 0 to 255."""
    return float((old.float() - alone.float()).square().mean().sqrt())


def masks(found: Sequence[Harm], forecast: Forecast, ranks: int, steps: int) -> list[Mask]:
    """From no synchronous layer to all of them, the most harmful first; on the first network."""
    layers, network = len(found), forecast.networks[0]
    deep = preset(forecast.model).layers
    ranked = [harm.layer for harm in sorted(found, key=lambda harm: -harm.error)]
    rows = []
    for count in range(layers + 1):
        chosen = ranked[:count]
        there = written(stretched(chosen, layers, deep))
        asked = schedule(f"interweaved:sync={there}")
        ((_, latency_s),) = forecast.latencies_s(asked, ranks, steps, (network,))
        rows.append(Mask(count, written(chosen), there, latency_s, 0.0))
    return [row._replace(share=row.latency_s / rows[-1].latency_s) for row in rows]


def chosen_within(rows: Sequence[Mask], budget: float) -> Mask:
    """The one with most synchronous layers that takes no more than this share of the time.

    Raises InputError where there is none.
    """
    fitting = [row for row in rows if row.share <= budget]
    if not fitting:
        least = min(row.share for row in rows)
        raise InputError(
            f"budget is {budget:g} of the time with all layers synchronous, but interweaving takes "
            f"{least:.3f} of it at least; give that or more"
        )
    return max(fitting, key=lambda row: row.layers)


def stretched(layers: Collection[int], of: int, to: int) -> list[int]:
    """Layers of a model of depth `to` that are at the same share of it as those of one of `of`."""
    return [layer for layer in range(to) if layer * of // to in layers]


def written(layers: Collection[int]) -> str:
    """As `sync=` takes them: "0-3.9", or "none"."""
    numbers = sorted(layers)
    begins = [n for n in numbers if n - 1 not in layers]
    ends = [n for n in numbers if n + 1 not in layers]
    pairs = zip(begins, ends, strict=True)
    return ".".join(f"{a}-{b}" if a < b else f"{a}" for a, b in pairs) or "none"
