"""The terminal that commands write to, which leaves a reader that has gone to the caller."""

from __future__ import annotations

from typing import NoReturn

from rich.console import Console


class Terminal(Console):
    """A console that raises BrokenPipeError; rich's own ends the process."""

    def on_broken_pipe(self) -> NoReturn:
        """See rich.console.Console."""
        raise BrokenPipeError
