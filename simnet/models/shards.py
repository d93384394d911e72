"""Shares of linear layers, by which ranks split a block's width (tensor parallelism)."""

from __future__ import annotations

import copy
from typing import TypeVar

from torch import Tensor, nn

Module = TypeVar("Module", bound=nn.Module)


def by_output(linear: nn.Linear, rank: int, ranks: int, groups: int = 1) -> nn.Linear:
    """The layer that gives a rank's share of each of so many equal groups of the outputs."""
    inputs = linear.in_features
    weight = linear.weight.view(groups, ranks, -1, inputs)[:, rank].flatten(0, 1)
    bias: Tensor | None = linear.bias  # which torch's types hold to be always there
    return _linear(
        weight, None if bias is None else bias.view(groups, ranks, -1)[:, rank].flatten()
    )


def by_input(linear: nn.Linear, rank: int, ranks: int) -> nn.Linear:
    """The layer of a rank's share of the inputs; its outputs are to be summed over the ranks."""
    weight = linear.weight.chunk(ranks, dim=1)[rank]
    return _linear(weight, linear.bias if rank == 0 else None)  # the bias is added once


def replaced(module: Module, **parts: nn.Module) -> Module:
    """The same module with other parts; what is not replaced is shared."""
    other = copy.copy(module)
    other._modules = {**module._modules, **parts}  # noqa: SLF001 - a copy shares its dictionary
    return other


def _linear(weight: Tensor, bias: Tensor | None) -> nn.Linear:
    outputs, inputs = weight.shape
    linear = nn.Linear(inputs, outputs, bias=bias is not None, device="meta")
    linear.weight = nn.Parameter(weight, requires_grad=False)
    if bias is not None:
        linear.bias = nn.Parameter(bias, requires_grad=False)
    return linear
