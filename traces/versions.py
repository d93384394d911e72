"""Which versions of what made a trace."""

from __future__ import annotations

import platform
from importlib import metadata


def versions() -> dict[str, str]:
    """Name -> version of thinwire, torch, numpy and python; imports none of them.

    A package that is not installed (thinwire itself, run from its source) is "not installed".
    """
    found = {name: _version(name) for name in ("thinwire", "torch", "numpy")}
    return found | {"python": platform.python_version()}


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "not installed"
