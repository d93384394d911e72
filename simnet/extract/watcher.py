"""Watches a program's operators: what it computes, sends and waits for, block by block."""

from __future__ import annotations

from collections import Counter as Tally
from collections.abc import Callable
from typing import Any

import torch.distributed as dist
from torch import Tensor
from torch.distributed._functional_collectives import AsyncCollectiveTensor
from torch.utils._pytree import tree_leaves

from simnet.counting import Counter
from simnet.extract.collectives import asked, is_communication
from simnet.extract.noted import Exchange, Noted, Pause, Stretch
from simnet.ops import Group

#: Operators that only hand tensors on.
_NOTHING = {"_wrap_tensor_autograd", "_reset_to_zero"}


class Watcher(Counter):
    """Notes what happens while it is active; `noted` is all of it in order.

    `group` says which communicator a process group is, and `root` what to call computing outside
    the blocks.
    """

    def __init__(self, root: str, group: Callable[[dist.ProcessGroup], Group]) -> None:
        super().__init__()
        self.noted: list[Noted] = []
        self.group = group
        self.root = root
        self.layer, self.shape = -1, ""
        self._name = root
        self._tally: Tally[str] = Tally()  # of names in this block
        self._outside: Tally[str] = self._tally
        self._exchanges: list[Exchange] = []
        self._waited: set[int] = set()
        # By the identity of what will be waited for, which is kept so that it stays the only one.
        self._pending: dict[int, tuple[int, Any]] = {}

    def enter(self, name: str, layer: int, shape: str) -> None:
        """See Listener."""
        self.close()
        self._name, self.layer, self.shape, self._tally = name, layer, shape, Tally()

    def leave(self) -> None:
        """See Listener."""
        self.close()
        self._name, self.layer, self.shape, self._tally = self.root, -1, "", self._outside

    def close(self) -> None:
        """End a stretch of computing, if anything was computed."""
        if self.kernels:
            name = self._numbered(self._name)
            self.noted.append(Stretch(name, self.layer, self.shape, tuple(self.kernels)))
            self.kernels.clear()

    def finished(self, work: Any) -> None:
        """The program waits for a `torch.distributed.Work`."""
        self._wait(id(work))

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if any(issubclass(kind, AsyncCollectiveTensor) for kind in types):
            return NotImplemented  # it waits first, and then comes back with plain tensors
        if is_communication(func):
            return self._communicate(func, args, kwargs)
        return super().__torch_dispatch__(func, types, args, kwargs)

    def _communicate(self, func: Any, args: Any, kwargs: Any) -> Any:
        packet = func.overloadpacket.__name__
        if packet == "wait_tensor":
            self._wait(_memory(args[0]))
        elif packet not in _NOTHING:
            self._ask(func, args, kwargs)
        out = func(*args, **kwargs)
        if packet not in _NOTHING and packet != "wait_tensor":
            self._remember(func, out)
        return out

    def _ask(self, func: Any, args: Any, kwargs: Any) -> None:
        self.close()
        it = asked(func, args, kwargs)
        exchange = Exchange(
            kind=it.kind,
            # Both ends of a message must call it the same, and do not count alike.
            name="message" if it.kind in ("send", "recv") else self._numbered(it.kind),
            layer=self.layer,
            group=self.group(it.group),
            shape=it.shape,
            dtype=it.dtype,
            nbytes=it.nbytes,
            peer=it.peer,
            sends=it.sends,
            takes=it.takes,
        )
        self._exchanges.append(exchange)
        self.noted.append(exchange)

    def _remember(self, func: Any, out: Any) -> None:
        """What the program will wait for: c10d gives a work, other operators tensors."""
        number = len(self._exchanges) - 1
        if func.namespace == "c10d":
            work = dist.Work.unbox(out[-1] if isinstance(out, tuple) else out)
            self._pending[id(work)] = number, work
            return
        for tensor in tree_leaves(out):
            self._pending[_memory(tensor)] = number, tensor

    def _wait(self, key: int) -> None:
        number, _ = self._pending.get(key, (-1, None))
        if number < 0 or number in self._waited:
            return  # of no communication, or over already
        self._waited.add(number)
        self.close()
        self.noted.append(Pause(number, self._exchanges[number].name, self.layer))

    def _numbered(self, name: str) -> str:
        number = self._tally[name]
        self._tally[name] += 1
        return f"{name}.{number}"


def _memory(tensor: Tensor) -> int:
    """The same for all views of it."""
    address: int = tensor.untyped_storage()._cdata  # noqa: SLF001 - its only identity
    return address
