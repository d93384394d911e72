"""A trace says which versions made it."""

from __future__ import annotations

import platform
import subprocess
import sys

import numpy as np

from traces.versions import versions


def test_versions_are_those_that_run() -> None:
    """As the packages say themselves."""
    found = versions()

    assert list(found) == ["thinwire", "torch", "numpy", "python"]
    assert found["numpy"] == np.__version__
    assert found["python"] == platform.python_version()


def test_versions_are_found_without_importing() -> None:
    """Importing torch takes more than a second."""
    program = "import sys; from traces.versions import versions; versions(); print(*sys.modules)"
    modules = subprocess.check_output([sys.executable, "-c", program], text=True).split()

    assert {"torch", "numpy"} & set(modules) == set()
