"""All ranks' forwards, each run without data, or known from others that do the same."""

from __future__ import annotations

import warnings
from collections import Counter as Tally
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    DynamicOutputShapeException,
    FakeTensorMode,
    UnsupportedOperatorException,
)
from torch.utils._pytree import tree_map

from simnet.extract.layers import announced
from simnet.extract.noted import Exchange, Noted, Part
from simnet.extract.subject import Subject
from simnet.extract.watcher import Watcher
from simnet.extract.world import as_rank, group_of, groups, waits_told
from simnet.ops import Group
from traces.errors import InputError, ThinwireError

_NEEDS_VALUES = (
    DataDependentOutputException,
    DynamicOutputShapeException,
    UnsupportedOperatorException,
)


def forwards(subject: Subject, ranks: int) -> list[Part]:
    """What each rank does in one forward.

    Where the subject says that its ranks are alike, the first and the last are run, and if they
    are, others are known from the first. Raises InputError for a program that cannot run without
    data.
    """
    first = forward(subject, 0, ranks)
    if ranks == 1:
        return [first]
    last = forward(subject, ranks - 1, ranks)
    between = range(1, ranks - 1)
    if not subject.alike or moved(first, last.groups) != last:
        return [first, *(forward(subject, rank, ranks) for rank in between), last]
    return [first, *(_alike(subject, first, rank, ranks) for rank in between), last]


def forward(subject: Subject, rank: int, ranks: int) -> Part:
    """What one rank does in one forward."""
    with as_rank(rank, ranks), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the program's own, which its live runs give as well
        program = _made(subject)
        dtype = _dtype(program.module)
        watcher = Watcher(type(program.module).__name__, group_of)
        with FakeTensorMode(allow_non_fake_inputs=True), torch.inference_mode():
            _without_data(program.module)
            args, kwargs = tree_map(_empty, (tuple(program.args), dict(program.kwargs)))
            with announced(program.module, watcher), waits_told(watcher.finished), watcher:
                _call(subject, program.module, args, kwargs)
        watcher.close()
        return Part(tuple(watcher.noted), groups(), dtype)


def _alike(subject: Subject, first: Part, rank: int, ranks: int) -> Part:
    """What a rank does that does the same as the first."""
    if all(len(exchange.group.ranks) == ranks for exchange in first.exchanges):
        return first
    return moved(first, communicators(subject, rank, ranks)) or forward(subject, rank, ranks)


def communicators(subject: Subject, rank: int, ranks: int) -> tuple[Group, ...]:
    """Those that a rank is a member of once its program is set up."""
    with as_rank(rank, ranks):
        _made(subject)
        return groups()


def moved(part: Part, others: tuple[Group, ...]) -> Part | None:
    """The same forward by a rank with other communicators; None where they are not as many."""
    if [len(group.ranks) for group in part.groups] != [len(group.ranks) for group in others]:
        return None
    theirs = dict(zip(part.groups, others, strict=True))
    return replace(part, noted=tuple(_with(theirs, each) for each in part.noted), groups=others)


def _with(theirs: Mapping[Group, Group], each: Noted) -> Noted:
    return replace(each, group=theirs[each.group]) if isinstance(each, Exchange) else each


def _made(subject: Subject) -> Any:
    try:
        with torch.device("meta"):
            return subject.make()
    except ThinwireError:
        raise
    except Exception as error:
        raise InputError(
            f"{subject.model}: its module cannot be made without data: {error!r}. Tensors are made "
            'on "meta"; make those whose values are needed with device="cpu"'
        ) from error


def _dtype(module: nn.Module) -> str:
    sizes: Tally[torch.dtype] = Tally()
    for weight in module.parameters():
        sizes[weight.dtype] += weight.numel()
    most = max(sizes, key=sizes.__getitem__, default=torch.float32)
    return str(most).removeprefix("torch.")


def _call(subject: Subject, module: nn.Module, args: Any, kwargs: Any) -> None:
    try:
        module(*args, **kwargs)
    except ThinwireError:
        raise
    except _NEEDS_VALUES as error:
        raise InputError(
            f"{subject.model}: it looks at the values of tensors ({error.func}), and there are "
            "none; have it decide by shapes, or capture a live run"
        ) from error
    except Exception as error:
        raise InputError(
            f"{subject.model} ({subject.schedule}): its forward fails without data: {error!r}"
        ) from error


def _without_data(module: nn.Module) -> None:
    """Put tensors without data in the place of all weights and buffers; shared ones stay shared."""
    known: dict[int, Tensor] = {}
    for part in module.modules():
        every: tuple[dict[str, Any], ...] = part._parameters, part._buffers  # noqa: SLF001
        for tensors in every:
            for name, tensor in tensors.items():
                if tensor is not None:
                    tensors[name] = known.setdefault(id(tensor), _like(tensor))


def _like(tensor: Tensor) -> Tensor:
    empty: Tensor = _empty(tensor)
    if isinstance(tensor, nn.Parameter):
        return nn.Parameter(empty, requires_grad=False)
    return empty


def _empty(leaf: Any) -> Any:
    """A tensor without data like this one; anything else as it is."""
    return torch.empty_like(leaf, device="cpu") if isinstance(leaf, Tensor) else leaf
