"""Runs somebody's script and records the first denoiser that it calls."""

from __future__ import annotations

import argparse
import os
import runpy
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any, NoReturn

from traces.errors import ThinwireError

if TYPE_CHECKING:
    from torch import nn

    from traces.capture.activations import Activations

_EXAMPLES = """\
examples:
  python -m traces.capture generate.py --steps 28
  torchrun --nproc-per-node 2 -m traces.capture --out T generate.py --steps 28
  python -m traces.capture --activations k,v:sketch generate.py
  python -m traces.capture --module MyDenoiser --overwrite train.py

Everything after the script's name is the script's own. Its exit code and its
exceptions are passed on. Afterwards:
  thinwire show T
  thinwire replay T --network ethernet-1g
"""
#: As `thinwire` has it: 2 for what was asked for wrongly.
_USAGE = 2


def main(words: Sequence[str] | None = None) -> None:
    """Run the script that the command line names, and record it."""
    arguments = _parser().parse_args(words)
    try:
        finder = Finder(_options(arguments))
    except ThinwireError as error:
        _refuse(str(error))
    script = Path(arguments.script)
    if not script.is_file():
        _refuse(f"{script}: there is no such script")
    sys.argv = [arguments.script, *arguments.args]
    sys.path[0] = str(script.resolve().parent)  # as Python does for a script
    with finder.looking():
        runpy.run_path(arguments.script, run_name="__main__")


def _refuse(reason: str) -> NoReturn:
    sys.stderr.write(f"thinwire: {reason}\n")
    raise SystemExit(_USAGE)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m traces.capture",
        description="Run a script as it is, and record the first denoiser that it calls.",
        epilog=_EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("--out", "-o", default="trace", help="the trace's folder (%(default)s)")
    add(
        "--activations",
        metavar="NAMES[:FORM]",
        help="of k, v, hidden, chosen, scores; whole (k,v) or reduced (k,v:sketch)",
    )
    add("--module", metavar="CLASS", help="the class of what to record, if it is not found")
    add("--overwrite", action="store_true", help="replace a trace that is there")
    add("script", help="the Python file to run")
    rest = add("args", nargs=argparse.REMAINDER, help="what the script is given")
    rest.required = False  # in the message for want of a script
    return parser


class Options:
    """What to record, and where to."""

    def __init__(
        self, out: Path, activations: Activations | None, module: str, *, overwrite: bool
    ) -> None:
        self.out = out
        self.activations = activations
        self.module = module
        self.overwrite = overwrite


def _options(arguments: argparse.Namespace) -> Options:
    """Raises InputError for what cannot be had."""
    from traces.capture.activations import parse
    from traces.store import check_free

    # Before the script has worked for minutes.
    out = Path(arguments.out)
    if os.environ.get("RANK", "0") == "0":
        check_free(out, overwrite=arguments.overwrite)
    activations = parse(arguments.activations) if arguments.activations else None
    if activations is not None:
        from traces.capture.discovery import check_names

        check_names(activations.names)
    return Options(out, activations, arguments.module or "", overwrite=arguments.overwrite)


class Finder:
    """Looks at the modules that are called until one is a denoiser, and records that one.

    A denoiser has a list of blocks, and is told a timestep.
    """

    def __init__(self, options: Options) -> None:
        self.options = options
        self._stack = ExitStack()
        self._found = False
        self._rejected: set[type] = set()

    @contextmanager
    def looking(self) -> Iterator[None]:
        """For as long as this lasts; ends the recording, too."""
        from torch import nn

        call = nn.Module.__call__

        def looked_at(module: nn.Module, *args: Any, **kwargs: Any) -> Any:
            if not self._found and self._is_it(module):
                self._found = True
                nn.Module.__call__ = call  # type: ignore[method-assign]
                self._begin(module, sys._getframe(1))  # noqa: SLF001 - who calls it
            return call(module, *args, **kwargs)

        nn.Module.__call__ = looked_at  # type: ignore[method-assign]
        try:
            with self._stack:
                yield
        finally:
            nn.Module.__call__ = call  # type: ignore[method-assign]
            if not self._found:
                sys.stderr.write(f"thinwire: nothing was recorded: {self._what_was_sought()}\n")

    def _is_it(self, module: nn.Module) -> bool:
        from traces.capture.discovery import blocks, is_compiled
        from traces.capture.steps import timestep_name

        kind = type(module)
        if self.options.module:
            return kind.__name__ == self.options.module
        if kind in self._rejected:
            return False
        original: Any = module
        if is_compiled(module):
            original = module._modules.get("_orig_mod", module)  # noqa: SLF001
        if timestep_name(original) is not None and (is_compiled(original) or blocks(original)):
            return True
        self._rejected.add(kind)
        return False

    def _begin(self, module: nn.Module, caller: FrameType | None) -> None:
        from traces.capture.recording import capture

        options = self.options
        subject = _pipeline(module, caller) or module
        try:
            self._stack.enter_context(
                capture(
                    subject,
                    options.out,
                    activations=options.activations,
                    overwrite=options.overwrite,
                )
            )
        except ThinwireError as error:  # the script is what matters
            sys.stderr.write(f"thinwire: not recorded; the script goes on. {error}\n")

    def _what_was_sought(self) -> str:
        if self.options.module:
            return f"no module of class {self.options.module} was called"
        return (
            "no module was called that is told a timestep and has a list of blocks; name the "
            "class of yours with --module"
        )


def _pipeline(module: nn.Module, caller: FrameType | None) -> Any:
    """The nearest caller's `self` that has this module and a scheduler, which counts the steps."""
    from traces.capture.discovery import DENOISERS

    while caller is not None:
        owner = caller.f_locals.get("self")
        counts = callable(getattr(getattr(owner, "scheduler", None), "step", None))
        if counts and any(getattr(owner, name, None) is module for name in DENOISERS):
            return owner
        caller = caller.f_back
    return None
