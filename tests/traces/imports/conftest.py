"""Files that torch.profiler really wrote, in a run of two processes."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = Path(__file__).parent / "live" / "profiled.py"


@pytest.fixture(scope="session")
def profiled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with kineto-R.json, et-R.json and stack-R.json.gz of ranks R of 0 and 1."""
    folder = tmp_path_factory.mktemp("profiled")
    quiet = os.environ | {"OMP_NUM_THREADS": "1", "GLOO_SOCKET_IFNAME": "lo"}
    ranks = [
        subprocess.Popen(
            [sys.executable, str(PROGRAM), str(folder), str(rank)],
            env=quiet,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in (0, 1)
    ]
    for rank in ranks:
        _, said = rank.communicate(timeout=110)
        assert rank.returncode == 0, said
    return folder
