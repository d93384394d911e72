"""A user's own program: a function of a Python file that gives a module and its inputs."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path
from typing import Any

from torch import nn

from simnet.extract.subject import Program
from traces.errors import InputError, unknown


@dataclass(frozen=True)
class Script:
    """A subject: `path.py:function`, which is called once as each rank that is run.

    It finds `torch.distributed` set up, sets up its parallelism, and returns a module and what to
    call it with: a tensor, a sequence of arguments, or a mapping of named ones. Nothing is assumed
    of how ranks are alike, so all of them are run.
    """

    where: str

    @property
    def model(self) -> str:
        """See Subject."""
        return Path(self.where.rpartition(":")[0]).name + f":{self._name}"

    @property
    def schedule(self) -> str:
        """See Subject."""
        return "its own"

    @property
    def steps(self) -> int:
        """See Subject."""
        return 1

    @property
    def alike(self) -> bool:
        """See Subject."""
        return False

    def make(self) -> Program:
        """See Subject."""
        made = self._function()()
        if not isinstance(made, tuple) or len(made) != 2 or not isinstance(made[0], nn.Module):
            raise InputError(
                f"{self.where} returns {type(made).__name__}, expected a module and its inputs: "
                "`return model, inputs`"
            )
        module, inputs = made
        if isinstance(inputs, Mapping):
            return Program(module, kwargs=inputs)
        return Program(module, inputs if isinstance(inputs, Sequence) else (inputs,))

    @property
    def _name(self) -> str:
        return self.where.rpartition(":")[2]

    def _function(self) -> Callable[[], Any]:
        path = Path(self.where.rpartition(":")[0])
        if path.suffix != ".py":
            raise InputError(
                f"{self.where}: expected FILE.py:FUNCTION, where FUNCTION returns a module and its "
                "inputs"
            )
        if not path.is_file():
            raise InputError(f"{self.where}: there is no file {path}")
        spec = spec_from_file_location(path.stem, path)
        assert spec is not None
        assert spec.loader is not None
        module = module_from_spec(spec)
        with _neighbours(path):
            spec.loader.exec_module(module)
        found = getattr(module, self._name, None)
        if not callable(found):
            functions = [name for name, value in vars(module).items() if callable(value)]
            raise unknown(f"function of {path}", self._name, functions)
        return found  # type: ignore[no-any-return]


@contextmanager
def _neighbours(path: Path) -> Iterator[None]:
    """What lies beside the file can be imported, as when it is run."""
    sys.path.insert(0, str(path.resolve().parent))
    try:
        yield
    finally:
        sys.path.pop(0)
