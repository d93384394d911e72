"""How the classifier learns: from the training set, mirrored and moved about, for some minutes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, pad

from simnet.training.classifier import Classifier, Judge
from simnet.training.fashion import SIDE_PX, Pictures
from simnet.training.trainer import Progress

#: How far a picture is moved, in pixels, at most.
_MOVED = 1


@dataclass(frozen=True)
class Plan:
    """How to train."""

    pictures: int = 600_000  # to learn from, all in all: 10 for each of the training set
    batch: int = 128
    rate: float = 3e-3  # of AdamW, where it is highest
    warm_up: float = 0.2  # share of the batches until then; after it, it falls to 0
    seed: int = 0

    @property
    def batches(self) -> int:
        """How many there are."""
        return -(-self.pictures // self.batch)

    def rate_at(self, batch: int) -> float:
        """The rate for a batch, counted from 0."""
        share = (batch + 1) / self.batches
        return self.rate * min(share / self.warm_up, (1 - share) / (1 - self.warm_up))


def learn(classifier: Classifier, taught: Pictures, plan: Plan) -> Iterator[Progress]:
    """Batch by batch to the end; every picture comes once before any comes again."""
    generator = torch.Generator().manual_seed(plan.seed)
    optimiser = torch.optim.AdamW(classifier.parameters(), weight_decay=0.02)
    classifier.train()
    orders = _orders(len(taught.images), plan.batch, generator)
    for batch, drawn in zip(range(plan.batches), orders, strict=False):
        for group in optimiser.param_groups:
            group["lr"] = plan.rate_at(batch)
        images = moved(taught.images[drawn], generator)
        loss = cross_entropy(classifier(images), taught.labels[drawn], label_smoothing=0.05)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        yield Progress(batch + 1, loss.item())
    classifier.eval()


def _orders(count: int, batch: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Which pictures are in each batch, for ever."""
    while True:
        yield from torch.randperm(count, generator=generator).split(batch)


def fresh(seed: int) -> Classifier:
    """One that has learnt nothing; nobody else's random numbers are touched."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return Classifier()


def moved(images: Tensor, generator: torch.Generator) -> Tensor:
    """Pictures (N, 28, 28), half of them mirrored, all moved by a pixel at most either way."""
    mirrored = torch.rand(len(images), generator=generator) < 0.5
    images = torch.where(mirrored.view(-1, 1, 1), images.flip(2), images)
    field = pad(images, (_MOVED,) * 4)
    down, across = torch.randint(2 * _MOVED + 1, (2, len(images), 1, 1), generator=generator)
    side = torch.arange(SIDE_PX)
    which = torch.arange(len(images)).view(-1, 1, 1)
    return field[which, down + side.view(1, -1, 1), across + side.view(1, 1, -1)]


def examined(classifier: Classifier, test: Pictures) -> tuple[Judge, float]:
    """The classifier as a judge that knows the test set, and its accuracy there.

    Its weights are rounded to half precision first, as they are kept.
    """
    classifier.half().float()
    nothing = torch.empty(0, dtype=torch.float64)
    seen = Judge(classifier, nothing, nothing).see(test.images)
    features = seen.features.double()
    accuracy = (seen.classes == test.labels).double().mean().item()
    return Judge(classifier, features.mean(0), features.T.cov()), accuracy
