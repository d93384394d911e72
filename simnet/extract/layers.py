"""Which blocks a model has, and in which of them the program is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any, Protocol

from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from simnet.shapes import describe_shape


class Listener(Protocol):
    """Is told where the program goes."""

    def enter(self, name: str, layer: int, shape: str) -> None:
        """Into a block, called with tensors of these shapes."""
        ...

    def leave(self) -> None:
        """Out of it."""
        ...


def blocks(module: nn.Module) -> list[nn.Module]:
    """The members of the module lists that lie nearest to the root, in their order.

    These are the layers of every transformer in diffusers; lists inside blocks are not looked at.
    """
    level = [module]
    while level:
        lists = [child for each in level for child in each.children() if _is_list(child)]
        if lists:
            return [block for each in lists for block in each.children()]
        level = [child for each in level for child in each.children()]
    return []


def _is_list(module: nn.Module) -> bool:
    return isinstance(module, nn.ModuleList) and len(module) > 0


@contextmanager
def announced(module: nn.Module, listener: Listener) -> Iterator[None]:
    """Tell the listener of each block's beginning and end; no hook stays behind."""
    with ExitStack() as stack:
        for layer, block in enumerate(blocks(module)):
            for handle in _hooks(block, layer, listener):
                stack.callback(handle.remove)
        yield


def _hooks(block: nn.Module, layer: int, listener: Listener) -> tuple[Any, Any]:
    name = type(block).__name__

    def before(_: nn.Module, args: Any, kwargs: Any) -> None:
        tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        listener.enter(name, layer, describe_shape(tensors))

    def after(*_: Any) -> None:
        listener.leave()

    return (
        block.register_forward_pre_hook(before, with_kwargs=True),
        block.register_forward_hook(after, always_call=True),
    )
