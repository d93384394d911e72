"""Records a program that people already run: its modules, transfers, steps and activations."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from traces.capture.activations import FullTensors, Sketched
    from traces.capture.recording import Recording, capture

__all__ = ["FullTensors", "Recording", "Sketched", "capture"]

_HOME = {
    "FullTensors": "activations",
    "Recording": "recording",
    "Sketched": "activations",
    "capture": "recording",
}


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'traces.capture' has no attribute {name!r}")
    return getattr(import_module(f"traces.capture.{_HOME[name]}"), name)
