"""What a model learns: the velocity from a picture to noise, and to use its experts evenly."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor
from torch.nn.functional import mse_loss

from simnet.models.dit import DiT
from simnet.models.mixture import Mixture
from simnet.models.modulation import Own

#: Share of pictures that are learnt without their class, for guidance (Ho & Salimans 2022).
_UNLABELLED = 0.1
#: Weight of the experts' balance (Fedus et al. 2022, "Switch Transformers", equation 4).
_BALANCE = 0.01


def loss(model: DiT, x: Tensor, label: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """What to minimise, and the velocity's part of it, for tokens x (B, T, C) of classes (B,).

    The flow leads straight from picture to noise (Liu et al. 2022, "Rectified Flow"); times are
    drawn more often from its middle (Esser et al. 2024, section 3.1, logit-normal).
    """
    time = torch.randn(len(x), generator=generator).sigmoid()
    noise = torch.randn(x.shape, generator=generator)
    unlabelled = torch.rand(len(x), generator=generator) < _UNLABELLED
    at = time.view(-1, 1, 1)
    with _gates(model) as scores:
        nothing = torch.full_like(label, model.shape.classes)
        velocity = model((1 - at) * x + at * noise, time, label.where(~unlabelled, nothing))
    error = mse_loss(velocity.float(), noise - x)
    if not scores:
        return error, error
    return error + _BALANCE * torch.stack([*map(_imbalance, scores)]).mean(), error


@contextmanager
def _gates(model: DiT) -> Iterator[list[tuple[Tensor, int]]]:
    """Collects each gate's logits (N, E), and how many experts it lets a token have."""
    seen: list[tuple[Tensor, int]] = []
    mixtures = [module for module in model.modules() if isinstance(module, Mixture)]
    hooks = [
        mixture.gate.register_forward_hook(
            lambda _module, _inputs, out, top=mixture.top: seen.append((out, top))
        )
        for mixture in mixtures
    ]
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def _imbalance(gate: tuple[Tensor, int]) -> Tensor:
    """1 where all experts have as many tokens; more where a few have most."""
    logits, top = gate
    scores = logits.float().softmax(dim=-1)
    chosen = torch.zeros_like(scores).scatter(1, scores.topk(top).indices, 1.0 / top)
    return scores.shape[1] * (chosen.mean(0) * scores.mean(0)).sum()


def begin(model: DiT) -> None:
    """Every block starts as the identity, and the output as nothing (Peebles & Xie 2023)."""
    with torch.no_grad():
        for module in model.modules():
            if isinstance(module, Own):
                module.linear.weight.zero_()
                module.linear.bias.zero_()
        for parameter in model.velocity.parameters():
            parameter.zero_()
