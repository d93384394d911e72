"""What a plan's pictures are worth: measured on a small trained model, or on captured activations.

Neither is the quality of the user's own pictures, and no value is made up where none is known.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

from analysis.quality.results import Results
from analysis.quality.study import KEY
from simnet.job import Job
from simnet.schedules.base import TeamSchedule
from simnet.schedules.expert.base import ExpertSchedule
from simnet.schedules.named import innermost, schedule, spec
from simnet.schedules.pipefusion import PipeFusion

#: Rows of `thinwire quality`, which docs/plan.md has the commands for.
SHIPPED = Path(__file__).with_name("data") / "quality.csv"


class Quality(NamedTuple):
    """How near to what a single device makes."""

    db: float  # infinite for the same, up to rounding
    error_db: float  # standard error; 0 where nothing was sampled
    source: str


class Source(Protocol):
    """Somebody who knows of some plans."""

    @property
    def unit(self) -> str:
        """What its decibels are of."""
        ...

    def of(self, chosen: TeamSchedule, job: Job) -> Quality | None:
        """Of a plan that can run the job; None where it is not known."""
        ...


class Measured:
    """PSNR of pictures that a small trained model makes under the same schedule and codec."""

    unit = "PSNR against one device, on a small trained model"

    def __init__(self, rows: Sequence[Mapping[str, Any]]) -> None:
        self.rows: dict[str, list[Mapping[str, Any]]] = {}
        for row in rows:
            of = schedule(str(row["parameters"]))
            self.rows.setdefault(_key(of, int(row["ranks"])), []).append(row)

    @classmethod
    def open(cls, path: Path) -> Measured:
        """From what `thinwire quality --out` wrote; raises InputError for anything else."""
        return cls(Results(path, (*KEY, "psnr_db", "psnr_error_db", "identical")).rows)

    def of(self, chosen: TeamSchedule, job: Job) -> Quality | None:
        """See Source.

        Of rows with no more steps than the job has, those with most: with fewer steps old and
        coded activations lose more, so it is no better than it will be. Teams that do other
        images or the other forward change nothing, so the schedule inside is looked up.
        """
        if (same := exact(chosen, job)) is not None:
            return same
        inner, ranks = innermost(chosen), _team(chosen, job)
        rows = [r for r in self.rows.get(_key(inner, ranks), []) if r["steps"] <= job.steps]
        if not rows:
            return None
        row = min(rows, key=lambda r: (-r["steps"], abs(r["ranks"] - ranks), -r["images"]))
        source = f"measured on {row['model']}, {row['ranks']} ranks, {row['steps']} steps"
        if row["identical"] == row["images"]:
            return Quality(math.inf, 0.0, source)
        if row["psnr_db"] is None:
            return Quality(-math.inf, 0.0, f"{source}: pictures were not finite")
        return Quality(row["psnr_db"], row["psnr_error_db"] or 0.0, source)


def exact(chosen: TeamSchedule, job: Job) -> Quality | None:
    """Of a plan that leaves nothing out and uses nothing old: the tests hold it to be the same."""
    inner: Any = innermost(chosen)
    if isinstance(inner, ExpertSchedule) or getattr(inner, "codec", None) is not None:
        return None
    if any(chosen.claims(job).ages):
        return None
    return Quality(math.inf, 0.0, "the same, up to rounding")


def _team(chosen: TeamSchedule, job: Job) -> int:
    """How many ranks share what the innermost schedule does."""
    around: Any = chosen
    ranks = job.ranks
    while around is not innermost(around):
        ranks //= getattr(around, "images", 2)
        around = around.inner
    return ranks


def _key(inner: TeamSchedule, ranks: int) -> str:
    """What it is, with every parameter; a patch for each rank is a number of patches."""
    if isinstance(inner, PipeFusion) and inner.patches == 0:
        return spec(inner).replace("patches=0", f"patches={ranks}")
    return spec(inner)
