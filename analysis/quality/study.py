"""What pictures of several schedules are compared on: a model, so many images, the same noise."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import torch

from analysis.quality.fingerprint import fingerprint
from simnet.job import Job
from simnet.models.presets import PRESETS, preset
from simnet.schedules.base import TeamSchedule
from simnet.schedules.named import schedule as named_schedule
from simnet.schedules.named import spec
from simnet.schedules.single import Single
from simnet.training.classifier import Judge, judge
from traces.errors import InputError

#: Columns that tell rows apart: all that pictures and their judgement depend on.
KEY = (
    "model", "weights", "judge", "parameters", "steps", "ranks", "images", "batch", "seed",
)  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A row: a schedule by the name that it was asked for, and a number of steps."""

    name: str
    schedule: TeamSchedule
    steps: int

    def __str__(self) -> str:
        return f"{self.name}, {self.steps} steps"


@dataclass(frozen=True)
class Study:
    """What all rows share.

    Raises InputError for a model without trained weights, and for numbers below 1.
    """

    model: str
    ranks: int = 4
    images: int = 256  # to judge by
    batch: int = 16  # of them at once; of each rank, where ranks have images of their own
    seed: int = 0

    def __post_init__(self) -> None:
        if not preset(self.model).trained:
            trained = [shape.name for shape in PRESETS.values() if shape.trained]
            raise InputError(
                f"{self.model} has random weights, so what it makes are no pictures; trained are "
                f"{', '.join(trained)}"
            )
        for name in ("images", "batch"):
            if getattr(self, name) < 1:
                raise InputError(f"{name} is {getattr(self, name)}, expected 1 or more")

    @cached_property
    def judge(self) -> Judge:
        """Who looks at the pictures."""
        return judge()

    @cached_property
    def asked(self) -> torch.Tensor:
        """The class of each image, (N,)."""
        return torch.arange(self.images) % preset(self.model).classes

    def job(self, case: Case) -> Job:
        """The first batch of a case."""
        return self._model.variant(ranks=self.ranks_of(case.schedule), steps=case.steps)

    def ranks_of(self, schedule: TeamSchedule) -> int:
        """How many it runs on."""
        return 1 if isinstance(schedule, Single) else self.ranks

    def key(self, case: Case) -> dict[str, Any]:
        """What a case's row is found by."""
        weights, judged_by = self._fingerprints
        values = (
            self.model, weights, judged_by, spec(case.schedule), case.steps,
            self.ranks_of(case.schedule), self.images, self.batch, self.seed,
        )  # fmt: skip
        return dict(zip(KEY, values, strict=True))

    @cached_property
    def _model(self) -> Job:
        return Job(self.model, self.ranks, seed=self.seed, images=self.batch).with_model()

    @cached_property
    def _fingerprints(self) -> tuple[str, str]:
        return fingerprint(self._model.model), fingerprint(self.judge.classifier)


def cases(schedules: Sequence[str], steps: Sequence[int]) -> list[Case]:
    """Every schedule at every number of steps, each time after the single device's.

    Raises InputError where there is none, or a name is unknown.
    """
    if not schedules or not steps:
        raise InputError("quality: name at least one schedule and one number of steps")
    named = {name: named_schedule(name) for name in (Single.name, *schedules)}
    return list(_distinct(Case(*pair, count) for count in steps for pair in named.items()))


def _distinct(found: Iterator[Case]) -> Iterator[Case]:
    seen = set()
    for case in found:
        what = spec(case.schedule), case.steps
        if what not in seen:
            yield case
        seen.add(what)
