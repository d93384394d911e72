"""Hooks on a model's modules: when each begins and ends, and what it gives."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol

import torch
from torch import nn

from traces.capture.discovery import UNHOOKED, Block, Found, Tap
from traces.capture.timeline import Visit

Enter = Callable[[tuple[Any, ...], Mapping[str, Any]], None]
Leave = Callable[[Any], None]


class Watcher(Protocol):
    """Is told of what the model does; raises nothing."""

    def listens(self) -> bool:
        """Whether what this thread does now is recorded."""

    def forward(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """The denoiser is called with these."""

    def forward_done(self, *, raised: bool) -> None:
        """It is done, or it raised."""

    def enter(self, visit: Visit) -> None:
        """A module is called."""

    def leave(self) -> Visit | None:
        """The innermost module that was is done."""

    def attended(self) -> None:
        """An attention of the innermost block is called."""

    def take(self, name: str, layer: int, tensor: torch.Tensor) -> None:
        """An activation that was asked for."""


class Hooks:
    """Looks at modules for as long as `hooked` lasts."""

    def __init__(self, watcher: Watcher) -> None:
        self.watcher = watcher
        self._attended: set[int] = set()  # layers whose attention was ever called

    @contextmanager
    def hooked(self, model: nn.Module, blocks: list[Block], taps: list[Tap]) -> Iterator[None]:
        """Modules are as they were afterwards."""
        with ExitStack() as stack:
            for tap in taps:
                self._tap(stack, tap)
            for block in blocks:
                for attention in block.attentions:
                    self._attention(stack, attention, block.layer)
                self._block(stack, block)
            self._root(stack, model)
            yield

    def _root(self, stack: ExitStack, model: nn.Module) -> None:
        name = type(model).__name__
        handled: BaseException | None = None  # by whoever calls the model, as in a second try

        def enter(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
            nonlocal handled
            handled = sys.exception()
            self.watcher.forward(args, kwargs)
            self.watcher.enter(Visit(name, -1))

        def leave(output: Any) -> None:
            del output  # which may well be None
            self.watcher.leave()
            self.watcher.forward_done(raised=sys.exception() is not handled)

        self._around(stack, model, enter, leave)

    def _block(self, stack: ExitStack, block: Block) -> None:
        def enter(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
            del args, kwargs
            self.watcher.enter(Visit(block.name, block.layer))

        def leave(output: Any) -> None:
            del output
            visit = self.watcher.leave()
            # A cache (FirstBlockCache and the like) has stood in for it.
            if visit and block.layer in self._attended and not visit.attended:
                visit.name += " (skipped)"

        self._around(stack, block.module, enter, leave)

    def _attention(self, stack: ExitStack, attention: Found, layer: int) -> None:
        def enter(args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
            del args, kwargs
            self._attended.add(layer)
            self.watcher.attended()
            self.watcher.enter(Visit(attention.name, layer))

        self._around(stack, attention.module, enter, self._leave)

    def _tap(self, stack: ExitStack, tap: Tap) -> None:
        def given(output: Any) -> None:
            tensor = pick(tap.what, output)
            if tensor is not None:
                self.watcher.take(tap.name, tap.layer, tensor)

        self._around(stack, tap.module, None, given)

    def _leave(self, output: Any) -> None:
        del output
        self.watcher.leave()

    def _around(
        self, stack: ExitStack, module: nn.Module, enter: Enter | None, leave: Leave
    ) -> None:
        """Call `enter` before each call of the module and `leave` after it, also when it raises.

        What is put around a module later lies outside of what was earlier.
        """
        compiled = module._compiled_call_impl is not None  # noqa: SLF001 - there is no other mark
        if compiled or isinstance(module, UNHOOKED):
            stack.enter_context(self._around_call(module, enter, leave))
            return

        def before(_: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if enter is not None and self.watcher.listens():
                enter(args, kwargs)

        def after(_: nn.Module, args: tuple[Any, ...], output: Any) -> None:
            del args
            if self.watcher.listens():
                leave(output)

        if enter is not None:
            handle = module.register_forward_pre_hook(before, prepend=True, with_kwargs=True)
            stack.callback(handle.remove)
        stack.callback(module.register_forward_hook(after, always_call=True).remove)

    @contextmanager
    def _around_call(self, module: nn.Module, enter: Enter | None, leave: Leave) -> Iterator[None]:
        """Without hooks: in a graph they would be compiled with it, or not be called at all."""
        compiled = module._compiled_call_impl  # noqa: SLF001
        call = compiled or module._call_impl  # noqa: SLF001

        def around(*args: Any, **kwargs: Any) -> Any:
            if enter is not None and self.watcher.listens():
                enter(args, kwargs)
            output = None
            try:
                output = call(*args, **kwargs)
            finally:
                if self.watcher.listens():
                    leave(output)
            return output

        module._compiled_call_impl = around  # noqa: SLF001
        try:
            yield
        finally:
            module._compiled_call_impl = compiled  # noqa: SLF001


def pick(what: str, output: Any) -> torch.Tensor | None:
    """The tensor that was meant of a module's output.

    hidden: the one with the most numbers, as text goes along with the image in some models.
    chosen: the first of whole numbers. Others: the first of real ones.
    """
    several = output if isinstance(output, tuple | list) else [output]
    tensors = [x for x in several if isinstance(x, torch.Tensor)]
    whole = [x for x in tensors if not x.is_floating_point() and not x.is_complex()]
    real = [x for x in tensors if x.is_floating_point()]
    if what == "hidden":
        return max(real, key=torch.Tensor.numel, default=None)
    return next(iter(whole if what == "chosen" else real), None)
