"""What codecs lose on activations that were captured from the user's own model."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from analysis.codec_error import WAYS
from analysis.plan.quality import Quality, exact
from simnet.codecs.named import spec
from simnet.codecs.residual import Residual
from simnet.schedules.expert.base import ExpertSchedule
from simnet.schedules.named import innermost

if TYPE_CHECKING:
    from simnet.job import Job
    from simnet.schedules.base import TeamSchedule
    from traces.trace import Trace

#: Of a trace that was recorded with `--keep kv`: what ranks send each other.
KEPT = ("k", "v")


class Captured:
    """Signal to error of keys and values, as receivers have them, over all layers and steps.

    Each codec is replayed over the activations as it would send them, errors living on from step
    to step. What is merely old is not in it, so nothing is known of stale schedules.
    """

    unit = "signal to error of keys and values, captured"

    def __init__(self, trace: Trace, name: str, codecs: Iterable[Residual]) -> None:
        from analysis.codec_replay import codec_replay

        self.name = name
        plain = sorted({_plain(residual) for residual in codecs})
        replayed = [codec_replay(trace, kept, codecs=plain) for kept in KEPT if plain]
        self.found = [each["pooled_nmse"] for each in replayed]

    def of(self, chosen: TeamSchedule, job: Job) -> Quality | None:
        """See `analysis.plan.quality.Source`."""
        if (same := exact(chosen, job)) is not None:
            return same
        inner: Any = innermost(chosen)
        rule = getattr(inner, "codec", None)
        if rule is None or isinstance(inner, ExpertSchedule) or any(chosen.claims(job).ages):
            return None
        (residual,) = rule.residuals()
        return self._of(residual)

    def _of(self, residual: Residual) -> Quality | None:
        way = _way(residual)
        if residual.warmup_steps != max(1, residual.order):
            return None  # the replay starts as soon as it can
        each = [float(of.sel(codec=_plain(residual), way=way)) for of in self.found]
        nmse = sum(each) / len(each)
        if not nmse >= 0:
            return None
        db = math.inf if nmse == 0 else -10 * math.log10(nmse)
        return Quality(db, 0.0, f"replayed over {self.name}")


def _plain(residual: Residual) -> str:
    """The codec by itself, as `codec_replay` names it."""
    name, *values = spec(Residual(residual.codec, 0, error_feedback=False)).split(":")
    return ":".join([name, *(text for text in values if not text.startswith("warmup_steps="))])


def _way(residual: Residual) -> str:
    from analysis.codec_replay import SECOND

    open_loop, naive, closed = WAYS
    if residual.order == 1:
        return closed if residual.error_feedback else open_loop
    return naive if residual.order == 0 else SECOND


def coders(tried: Iterable[Any]) -> list[Residual]:
    """All residuals of these plans."""
    rules = (getattr(innermost(plan.schedule), "codec", None) for plan in tried if _is_plan(plan))
    return [residual for rule in rules if rule is not None for residual in rule.residuals()]


def _is_plan(one: Any) -> bool:
    return hasattr(one, "schedule")
