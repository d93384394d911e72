"""What happened: traces of runs, measured or predicted, in memory and on disk."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from traces.errors import ThinwireError
    from traces.partial import common_steps
    from traces.run import Run
    from traces.summary import summarize
    from traces.trace import Trace

__all__ = ["Run", "ThinwireError", "Trace", "common_steps", "summarize"]

_HOME = {
    "Run": "run",
    "ThinwireError": "errors",
    "Trace": "trace",
    "common_steps": "partial",
    "summarize": "summary",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'traces' has no attribute {name!r}")
    return getattr(import_module(f"traces.{_HOME[name]}"), name)
