"""What can be trained, by name, and what each needs to be taught."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor

from simnet.models.dit import build
from simnet.models.pixels import tokens_of
from simnet.models.presets import PRESETS, preset
from simnet.training import classifier, classifying
from simnet.training.fashion import fashion
from simnet.training.flow import begin
from simnet.training.trainer import Plan, Progress, Trainer
from traces.errors import InputError, unknown


@dataclass(frozen=True)
class Request:
    """From what, and how much, and where to."""

    data: Path  # folder of Fashion-MNIST's four files
    out: Path  # file for the weights
    pictures: int | None = None  # to learn from, all in all; None: as many as is usual
    seed: int = 0

    def __post_init__(self) -> None:
        if self.pictures is not None and self.pictures < 1:
            raise InputError(f"pictures is {self.pictures}, expected 1 or more")
        if not 0 <= self.seed < 2**32:
            raise InputError(f"seed is {self.seed}, expected an integer from 0 to 2^32 - 1")
        if self.out.suffix == ".checkpoint":
            raise InputError(f"{self.out}: a checkpoint's name; call the weights .safetensors")


class Course(Protocol):
    """Training under way."""

    @property
    def losses(self) -> list[float]:
        """Of each batch so far."""
        ...

    @property
    def batches(self) -> int:
        """How many there are in all."""
        ...

    def learn(self) -> Iterator[Progress]:
        """Batch by batch, those that are left."""
        ...

    def save(self) -> None:
        """Write down what it takes to go on after an interruption, where that is worth it."""
        ...

    def finish(self) -> str:
        """Write the weights; gives a sentence that says how good they are."""
        ...


class Denoising:
    """A diffusion transformer's; an interruption loses what came after the last `save`."""

    def __init__(self, name: str, request: Request) -> None:
        shape = preset(name)
        model = build(replace(shape, trained=False), request.seed, torch.float32, "cpu")
        begin(model)
        usual = Plan(seed=request.seed)
        plan = replace(usual, pictures=request.pictures or usual.pictures)
        taught = fashion("train", request.data)
        self.x: Tensor = tokens_of(taught.images, shape)
        self.labels = taught.labels
        self.out = request.out
        request.out.parent.mkdir(parents=True, exist_ok=True)
        self.trainer = Trainer(model, plan, request.out.with_suffix(".checkpoint"))
        self.trainer.resume()
        self.batches = plan.batches

    @property
    def losses(self) -> list[float]:
        """See Course."""
        return self.trainer.losses

    def learn(self) -> Iterator[Progress]:
        """See Course."""
        return self.trainer.train(self.x, self.labels)

    def save(self) -> None:
        """See Course."""
        self.trainer.save()

    def finish(self) -> str:
        """See Course."""
        self.save()
        self.trainer.export(self.out)
        return f"{self.trainer.done} batches"


class Classifying:
    """The classifier's; it takes minutes, and begins anew after an interruption."""

    def __init__(self, request: Request) -> None:
        usual = classifying.Plan(seed=request.seed)
        self.plan = replace(usual, pictures=request.pictures or usual.pictures)
        self.taught, self.test = (fashion(part, request.data) for part in ("train", "t10k"))
        self.classifier = classifying.fresh(request.seed)
        self.out = request.out
        self.losses: list[float] = []
        self.batches = self.plan.batches

    def learn(self) -> Iterator[Progress]:
        """See Course."""
        for progress in classifying.learn(self.classifier, self.taught, self.plan):
            self.losses.append(progress.loss)
            yield progress

    def save(self) -> None:
        """See Course; there is nothing to write."""

    def finish(self) -> str:
        """See Course."""
        judge, accuracy = classifying.examined(self.classifier, self.test)
        self.out.parent.mkdir(parents=True, exist_ok=True)
        judge.save(self.out)
        return f"{accuracy:.2%} of {len(self.test.images)} test pictures told right"


def course(name: str, request: Request) -> Course:
    """Training of what goes by this name; raises InputError for what cannot be trained."""
    denoisers = [shape.name for shape in PRESETS.values() if shape.trained]
    if name == classifier.NAME:
        return Classifying(request)
    if name in denoisers:
        return Denoising(name, request)
    raise unknown("model to train", name, [*denoisers, classifier.NAME])
