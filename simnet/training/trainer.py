"""Training that can be interrupted at any time and goes on where it was."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import NamedTuple

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from simnet.models.dit import DiT
from simnet.training.flow import loss
from traces.errors import InputError
from traces.files import replacing


@dataclass(frozen=True)
class Plan:
    """How to train."""

    pictures: int = 600_000  # to learn from, all in all: 10 for each of the training set
    batch: int = 64
    rate: float = 1e-3  # of AdamW, once it is warm
    warm_up: int = 500  # batches until then
    cool_down: float = 0.3  # share of the batches at the end, in which the rate falls to 0
    average: float = 0.999  # of the weights before, in the average that is kept in the end
    seed: int = 0

    @property
    def batches(self) -> int:
        """How many there are."""
        return -(-self.pictures // self.batch)

    @property
    def steady(self) -> int:
        """Batches before the rate begins to fall."""
        return int((1 - self.cool_down) * self.batches)

    def rate_at(self, batch: int) -> float:
        """The rate for a batch, counted from 0."""
        left = (self.batches - batch) / max(1.0, self.cool_down * self.batches)
        return self.rate * min(1.0, (batch + 1) / self.warm_up, left)


class Progress(NamedTuple):
    """After a batch."""

    batch: int
    loss: float  # the velocity's mean squared error, of this batch


class Trainer:
    """A model in training, with its optimiser and the running average of its weights."""

    def __init__(self, model: DiT, plan: Plan, checkpoint: Path) -> None:
        self.model = model.requires_grad_(requires_grad=True).train()
        self.plan = plan
        self.checkpoint = checkpoint
        weights = dict(model.named_parameters())
        self.average = {name: weight.detach().clone() for name, weight in weights.items()}
        self.optimiser = torch.optim.AdamW(weights.values(), weight_decay=0.01, betas=(0.9, 0.99))
        self.done = 0  # batches
        self.losses: list[float] = []  # of each

    def train(self, x: Tensor, label: Tensor) -> Iterator[Progress]:
        """Batch by batch to the end, from tokens x (N, T, C) of classes (N,).

        A batch is drawn from the seed and its number alone, so an interruption changes nothing.
        """
        while self.done < self.plan.batches:
            generator = torch.Generator().manual_seed(self.plan.seed * 1_000_003 + self.done)
            drawn = torch.randint(len(x), (self.plan.batch,), generator=generator)
            yield self._learn(x[drawn], label[drawn], generator)

    def _learn(self, x: Tensor, label: Tensor, generator: torch.Generator) -> Progress:
        for group in self.optimiser.param_groups:
            group["lr"] = self.plan.rate_at(self.done)
        with torch.autocast("cpu", torch.bfloat16):
            total, error = loss(self.model, x, label, generator)
        if not math.isfinite(total.item()):
            raise InputError(f"batch {self.done}: the loss is {total.item()}; lower the rate")
        self.optimiser.zero_grad()
        total.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        self.optimiser.step()
        keep = min(self.plan.average, (1 + self.done) / (10 + self.done))
        with torch.no_grad():
            for name, weight in self.model.named_parameters():
                self.average[name].lerp_(weight, 1 - keep)
        self.done += 1
        self.losses.append(error.item())
        return Progress(self.done, error.item())

    def save(self) -> None:
        """Everything that `resume` needs, in one file that is there whole or not at all."""
        tensors = {f"average/{name}": tensor for name, tensor in self.average.items()}
        for name, weight in self.model.named_parameters():
            tensors[f"weight/{name}"] = weight.detach()
            for what, value in self.optimiser.state[weight].items():
                tensors[f"{what}/{name}"] = value
        tensors["losses"] = torch.tensor(self.losses, dtype=torch.float64)
        with replacing(self.checkpoint) as temporary:
            save_file(tensors, temporary, {"plan": json.dumps(asdict(self.plan))})

    def resume(self) -> None:
        """Go on from the checkpoint, if there is one; raises InputError for another model's."""
        if not self.checkpoint.exists():
            return
        try:
            with safe_open(self.checkpoint, framework="pt") as file:
                before = Plan(**json.loads((file.metadata() or {})["plan"]))
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            with torch.no_grad():
                self._take(tensors)
        except (SafetensorError, KeyError, RuntimeError, TypeError, ValueError) as error:
            raise InputError(
                f"{self.checkpoint}: no checkpoint of {self.model.shape.name}: {error}"
            ) from None
        self._expect_the_same(before)

    def _expect_the_same(self, before: Plan) -> None:
        """Another number of pictures will do as long as it has not made a difference."""
        if replace(before, pictures=self.plan.pictures) != self.plan:
            raise InputError(
                f"{self.checkpoint}: was begun with {before}, which is not {self.plan}; "
                "give the same seed, or another --out to begin anew"
            )
        if before != self.plan and self.done > min(before.steady, self.plan.steady):
            raise InputError(
                f"{self.checkpoint}: was begun for {before.pictures} pictures, and has come so far "
                "that their number matters; give the same, or another --out to begin anew"
            )

    def _take(self, tensors: dict[str, Tensor]) -> None:
        for name, weight in self.model.named_parameters():
            weight.copy_(tensors[f"weight/{name}"])
            self.average[name].copy_(tensors[f"average/{name}"])
            self.optimiser.state[weight] = {
                what: tensors[f"{what}/{name}"] for what in ("step", "exp_avg", "exp_avg_sq")
            }
        self.losses = tensors["losses"].tolist()
        self.done = len(self.losses)

    def export(self, path: Path) -> None:
        """The average of the weights, in half precision."""
        with replacing(path) as temporary:
            save_file({name: weight.half() for name, weight in self.average.items()}, temporary)
