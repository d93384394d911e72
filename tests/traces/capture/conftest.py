"""Small models to record, and real processes to record them in."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

#: Defines Model, a denoiser of three blocks, and what its ranks begin with.
PRELUDE = """
import os, sys
from pathlib import Path
import torch
import torch.distributed as dist
from torch import nn
from traces.capture import capture

class Attention(nn.Module):
    def __init__(self):
        super().__init__()
        self.to_k, self.to_v = nn.Linear(8, 8), nn.Linear(8, 8)
    def forward(self, x):
        return self.to_v(x) * self.to_k(x).mean()

class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.norm_attn, self.attn, self.mlp = nn.LayerNorm(8), Attention(), nn.Linear(8, 8)
    def forward(self, x):
        return self.mlp(x + self.attn(self.norm_attn(x)))

class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.embed = nn.Linear(8, 8)
        self.blocks = nn.ModuleList(Block() for _ in range(3))
    def forward(self, x, timestep, prompt=None):
        x = self.embed(x) + timestep
        for block in self.blocks:
            x = block(x)
        return x
"""
JOIN = """
out, meet, rank, ranks = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
dist.init_process_group("gloo", init_method=f"file://{meet}", rank=rank, world_size=ranks)
"""


def _defined() -> dict[str, Any]:
    names: dict[str, Any] = {}
    exec(compile(PRELUDE, "prelude", "exec"), names)  # noqa: S102 - the processes' own text
    return names


@pytest.fixture
def model() -> nn.Module:
    """A denoiser of three blocks with an attention each."""
    torch.manual_seed(0)
    made: nn.Module = _defined()["Model"]()
    return made


@pytest.fixture
def prelude() -> str:
    """What a process begins with: Model, torch and capture."""
    return PRELUDE


@pytest.fixture
def start(tmp_path: Path) -> Callable[..., list[subprocess.Popen[str]]]:
    """Starts a process for each of two ranks: Model is defined, `rank` and `out` too."""

    def run(script: str) -> list[subprocess.Popen[str]]:
        whole = PRELUDE + JOIN + textwrap.dedent(script)
        meet, out = tmp_path / "meet", tmp_path / "T"
        words = [sys.executable, "-c", whole, str(out), str(meet)]
        environment = os.environ | {"OMP_NUM_THREADS": "1"}
        pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        return [
            subprocess.Popen([*words, str(rank), "2"], text=True, env=environment, **pipes)
            for rank in range(2)
        ]

    return run


@pytest.fixture
def run_ranks(start: Callable[..., list[subprocess.Popen[str]]]) -> Callable[..., list[str]]:
    """Runs two ranks to their end; gives what each wrote on stdout, and then on stderr."""

    def run(script: str) -> list[str]:
        processes = start(script)
        said = [process.communicate(timeout=100) for process in processes]
        for process, (_, errors) in zip(processes, said, strict=True):
            assert process.returncode == 0, errors
        return [out for out, _ in said] + [errors for _, errors in said]

    return run
