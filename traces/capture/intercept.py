"""Sees what a program asks of torch.distributed, and when it waits, for as long as a capture lasts.

It stands where Python enters torch's C++: the methods of ProcessGroup and Work, and the functional
collectives of torch.ops. All that Python code can call ends there, whatever its name was; what C++
asks for by itself (DistributedDataParallel's gradients, a compiled graph) is not seen. A dispatch
mode would see no more of it, costs every operator some time, and undoes torch.compile.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from typing import Any, Protocol

import torch
import torch.distributed as dist

from traces.capture.collectives import (
    FUNCTIONS,
    METHODS,
    Arguments,
    Reader,
    communicator,
    operation,
)
from traces.capture.timeline import Draft
from traces.operation import Operation

_FUNCTIONAL = ("_c10d_functional", "_c10d_functional_autograd")


class Watcher(Protocol):
    """Is told of what the program does; raises nothing."""

    pending: Pending

    def listens(self) -> bool:
        """Whether what this thread does now is recorded."""

    def launch(self) -> None:
        """The program is about to ask for transfers."""

    def launched(self, read: Callable[[], list[Operation]]) -> list[Draft]:
        """It has asked for what `read` gives."""

    def wait(self) -> None:
        """It is about to wait."""

    def waited(self, transfers: list[Draft]) -> None:
        """It has waited for these."""


class Pending:
    """Which transfers a Work, or a functional collective's result, stands for."""

    def __init__(self) -> None:
        self._works: dict[int, tuple[Any, list[Draft]]] = {}
        self._results: dict[int, list[Draft]] = {}

    def work(self, work: Any, drafts: list[Draft]) -> None:
        """A handle to wait by; it may be dropped unwaited for."""
        key = id(work)
        dropped = weakref.ref(work, lambda _: self._works.pop(key, None))
        self._works[key] = dropped, drafts

    def of_work(self, work: Any) -> list[Draft]:
        """The transfers; [] for those waited for before, or not recorded."""
        _, drafts = self._works.pop(id(work), (None, []))
        return drafts

    def result(self, tensor: torch.Tensor, drafts: list[Draft]) -> None:
        """A tensor to wait by; torch, too, knows it by its storage."""
        self._results[_storage(tensor)] = drafts

    def of_result(self, tensor: torch.Tensor) -> list[Draft]:
        """As of_work."""
        return self._results.pop(_storage(tensor), [])

    def done(self) -> Iterator[Draft]:
        """Those whose handle says that they are complete, each once."""
        for ref, drafts in list(self._works.values()):
            work = ref()
            if work is not None and drafts[0].ended is None and work.is_completed():
                yield from drafts


def _storage(tensor: torch.Tensor) -> int:
    """What tells it from all others that there are; 0 for a tensor that has none of its own."""
    try:
        key: int = tensor.untyped_storage()._cdata  # noqa: SLF001 - its data may be nowhere
    except (RuntimeError, NotImplementedError):
        return 0
    return key


class Interceptor:
    """Replaces the entries for as long as `intercepting` lasts."""

    def __init__(self, watcher: Watcher, rank: int) -> None:
        self.watcher = watcher
        self.rank = rank

        self._bundle: list[Draft] | None = None  # asked for together, with one handle
        self._inside = False  # one entry may lead through another

    @contextmanager
    def intercepting(self) -> Iterator[None]:
        """Everything is as it was afterwards."""
        with ExitStack() as stack:
            if dist.is_available():
                group, work = dist.ProcessGroup, dist.Work
                for name, reader in METHODS.items():
                    stack.enter_context(self._replaced(group, name, self._method(reader)))
                stack.enter_context(self._replaced(group, "_start_coalescing", self._start))
                stack.enter_context(self._replaced(group, "_end_coalescing", self._end))
                stack.enter_context(self._replaced(work, "wait", self._wait))
                for space in _FUNCTIONAL:
                    self._functions(stack, getattr(torch.ops, space))
            yield

    def _functions(self, stack: ExitStack, space: Any) -> None:
        for name, reader in FUNCTIONS.items():
            if hasattr(space, name):
                stack.enter_context(self._replaced(space, name, self._function(reader)))
        if hasattr(space, "wait_tensor"):
            stack.enter_context(self._replaced(space, "wait_tensor", self._wait_tensor))

    @contextmanager
    def _replaced(
        self, owner: Any, name: str, wrapper: Callable[[Callable[..., Any]], Any]
    ) -> Iterator[None]:
        original = getattr(owner, name, None)
        if original is None:  # this version of torch has none
            yield
            return
        kept = vars(owner)[name]  # which for a method is not what getattr gives
        setattr(owner, name, wrapper(original))
        try:
            yield
        finally:
            setattr(owner, name, kept)

    def _method(self, reader: Reader) -> Callable[[Callable[..., Any]], Any]:
        def wrapper(original: Callable[..., Any]) -> Any:
            @wraps(original)
            def method(group: Any, *args: Any, **kwargs: Any) -> Any:
                if self._inside or not self.watcher.listens():
                    return original(group, *args, **kwargs)
                work = self._launch(original, group, *args, **kwargs)
                drafts = self._asked(reader, group, (*args, *kwargs.values()))
                if self._bundle is not None:
                    self._bundle += drafts
                elif work is not None and drafts:
                    self.watcher.pending.work(work, drafts)
                return work

            return method

        return wrapper

    def _function(self, reader: Reader) -> Callable[[Callable[..., Any]], Any]:
        def wrapper(original: Callable[..., Any]) -> Any:
            def function(*args: Any, **kwargs: Any) -> Any:
                if self._inside or not self.watcher.listens():
                    return original(*args, **kwargs)
                result = self._launch(original, *args, **kwargs)
                given = (*args, *kwargs.values())
                drafts = self._asked(reader, given[-1], given)
                tensors = [result] if isinstance(result, torch.Tensor) else result
                one_each = len(tensors) == len(drafts)
                for place, tensor in enumerate(tensors):
                    self.watcher.pending.result(
                        tensor, drafts[place : place + 1] if one_each else drafts
                    )
                return result

            return _Packet(original, function)

        return wrapper

    def _launch(self, original: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self.watcher.launch()
        self._inside = True
        try:
            return original(*args, **kwargs)
        finally:
            self._inside = False

    def _asked(self, reader: Reader, group: Any, args: Arguments) -> list[Draft]:
        def read() -> list[Operation]:
            its = communicator(group)
            return [operation(asked, its, self.rank) for asked in reader(args, its)]

        return self.watcher.launched(read)

    def _wait(self, original: Callable[..., Any]) -> Any:
        @wraps(original)
        def wait(work: Any, *args: Any, **kwargs: Any) -> Any:
            drafts = self.watcher.pending.of_work(work) if self.watcher.listens() else []
            if not drafts:
                return original(work, *args, **kwargs)
            self.watcher.wait()
            result = original(work, *args, **kwargs)
            self.watcher.waited(drafts)
            return result

        return wait

    def _wait_tensor(self, original: Callable[..., Any]) -> Any:
        def wait_tensor(tensor: Any, *args: Any, **kwargs: Any) -> Any:
            drafts = self.watcher.pending.of_result(tensor) if self.watcher.listens() else []
            if not drafts:
                return original(tensor, *args, **kwargs)
            self.watcher.wait()
            result = original(tensor, *args, **kwargs)
            self.watcher.waited(drafts)
            return result

        return _Packet(original, wait_tensor)

    def _start(self, original: Callable[..., Any]) -> Any:
        @wraps(original)
        def start(group: Any, *args: Any, **kwargs: Any) -> Any:
            if self.watcher.listens():
                self._bundle = []
            return original(group, *args, **kwargs)

        return start

    def _end(self, original: Callable[..., Any]) -> Any:
        @wraps(original)
        def end(group: Any, *args: Any, **kwargs: Any) -> Any:
            work = original(group, *args, **kwargs)
            bundle, self._bundle = self._bundle, None
            if work is not None and bundle:
                self.watcher.pending.work(work, bundle)
            return work

        return end


class _Packet:
    """Stands for an operator of torch.ops: called as `call`, and otherwise the operator."""

    def __init__(self, original: Any, call: Callable[..., Any]) -> None:
        self._original = original
        self._call = call

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        return self._call(*args, **kwargs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._original, name)
