"""Which denoising step it is: counted by the calls of the denoiser, as programs seldom say it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import wraps
from typing import Any, NamedTuple

import torch
from torch import nn

_TIMESTEPS = ("timestep", "timesteps", "t", "sigma", "sigmas")


def timestep_name(module: nn.Module) -> str | None:
    """The parameter by which a denoiser is told its timestep; None for what has none."""
    names = inspect.signature(module.forward).parameters
    return next((name for name in _TIMESTEPS if name in names), None)


class _Given(NamedTuple):
    """Of the arguments of a forward, what tells steps apart."""

    latents: torch.Tensor | None
    timestep: Any
    tensors: list[torch.Tensor]


class Steps:
    """Says of each forward of the denoiser whether a step begins with it.

    A forward goes on with the step of the one before where both have the same latents (the first
    tensor) and timestep but something else differs: guidance, run as two forwards. Where the
    program's scheduler is known, it goes on until that has stepped or the timestep is another.
    After `by_hand`, only that begins steps.
    """

    def __init__(self, module: nn.Module) -> None:
        self._signature = inspect.signature(module.forward)
        self._timestep = timestep_name(module)
        self._before: _Given | None = None
        self._goes_on: Callable[[_Given, _Given], bool] = _is_guidance
        self._due = True  # one begins with the next forward

    def begins(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> bool:
        """Whether a step begins with a forward of these arguments."""
        # What is compared is held until then, so that nothing else gets its address.
        now = self._telling(args, kwargs)
        begins = self._due or self._before is None or not self._goes_on(self._before, now)
        self._before, self._due = now, False
        return begins

    def scheduled(self) -> None:
        """`scheduler_stepped` will be called."""
        self._goes_on = _same_timestep

    def scheduler_stepped(self) -> None:
        """The program's scheduler has taken the latents a step on."""
        self._due = True

    def by_hand(self) -> None:
        """A step begins with the next forward, and with none after it until this is called."""
        self._goes_on = _always
        self._due = True

    def _telling(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> _Given:
        try:
            named = self._signature.bind_partial(*args, **kwargs).arguments
        except TypeError:  # the forward will say so itself
            named = {}
        timestep = named.get(self._timestep) if self._timestep else None
        tensors = [x for x in (*args, *kwargs.values()) if isinstance(x, torch.Tensor)]
        latents = next((x for x in named.values() if isinstance(x, torch.Tensor)), None)
        return _Given(latents, timestep, tensors)


def _is_guidance(before: _Given, now: _Given) -> bool:
    if before.latents is None or now.latents is None:
        return False
    pairs = zip(before.tensors, now.tensors, strict=False)
    repeated = len(before.tensors) == len(now.tensors) and all(_same(*pair) for pair in pairs)
    return not repeated and _same(before.latents, now.latents) and _same_timestep(before, now)


def _same(one: torch.Tensor, other: torch.Tensor) -> bool:
    """Whether they lie in the same memory."""
    address = one.data_ptr()
    return one is other or (address == other.data_ptr() != 0 and one.shape == other.shape)


def _same_timestep(before: _Given, now: _Given) -> bool:
    """On a GPU they cannot be compared without waiting for it, and are taken to be."""
    one, other = before.timestep, now.timestep
    if not isinstance(one, torch.Tensor) or not isinstance(other, torch.Tensor):
        return bool(one == other)
    return one.device.type != "cpu" or (one.shape == other.shape and torch.equal(one, other))


def _always(before: _Given, now: _Given) -> bool:
    del before, now
    return True


@contextmanager
def scheduler_told(owner: Any, steps: Steps) -> Iterator[None]:
    """Tell `steps` of each `owner.scheduler.step`, if it has one; as it was afterwards."""
    scheduler = getattr(owner, "scheduler", None)
    step = getattr(scheduler, "step", None)
    if scheduler is None or not callable(step) or "step" in vars(scheduler):
        yield
        return

    @wraps(step)  # pipelines look at the signature
    def told(*args: Any, **kwargs: Any) -> Any:
        result = step(*args, **kwargs)
        steps.scheduler_stepped()
        return result

    steps.scheduled()
    scheduler.step = told
    try:
        yield
    finally:
        del scheduler.step
