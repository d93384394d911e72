"""What capture costs the program that it records. Run by `make bench`.

A transformer of the proportions of a pipeline's runs its steps bare and captured in turn, in one
process, so that what else the machine does falls on both alike; each pair gives a ratio.
"""

from __future__ import annotations

import statistics
import tracemalloc
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from time import process_time
from typing import Any

import pytest
import torch
from torch import nn

from traces.capture import Sketched, capture

# Beside other work a pair takes long.
pytestmark = [pytest.mark.bench, pytest.mark.timeout(600)]

#: The width of DiT-XL and PixArt, and the tokens of a picture of 256 x 256.
WIDTH, HEADS, TOKENS, DEPTH, STEPS, PAIRS = 1152, 16, 256, 4, 2, 7


class Attention(nn.Module):
    """Of all tokens to all."""

    def __init__(self) -> None:
        super().__init__()
        self.to_q, self.to_k, self.to_v, self.to_out = (nn.Linear(WIDTH, WIDTH) for _ in range(4))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Of the same shape."""
        q, k, v = (
            part(x).unflatten(-1, (HEADS, -1)).transpose(1, 2)
            for part in (self.to_q, self.to_k, self.to_v)
        )
        mixed = nn.functional.scaled_dot_product_attention(q, k, v)
        out: torch.Tensor = self.to_out(mixed.transpose(1, 2).flatten(2))
        return out


class Block(nn.Module):
    """A transformer block."""

    def __init__(self) -> None:
        super().__init__()
        self.attn = Attention()
        self.mlp = nn.Sequential(
            nn.Linear(WIDTH, 4 * WIDTH), nn.GELU(), nn.Linear(4 * WIDTH, WIDTH)
        )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Of the same shape."""
        x = x + self.attn(x)
        out: torch.Tensor = x + self.mlp(x)
        return out


class Denoiser(nn.Module):
    """A stack of blocks."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(Block() for _ in range(DEPTH))

    def forward(self, x: torch.Tensor, timestep: torch.Tensor) -> torch.Tensor:
        """Of the same shape."""
        x = x + timestep
        for block in self.blocks:
            x = block(x)
        return x


@pytest.fixture
def run(one_thread: None) -> Callable[[AbstractContextManager[Any]], float]:
    """Runs the steps inside something; gives processor seconds a step, without begin and end."""
    del one_thread
    model = Denoiser().eval()

    def steps(inside: AbstractContextManager[Any]) -> float:
        x = torch.randn(1, TOKENS, WIDTH)
        with torch.inference_mode(), inside:
            model(x, torch.tensor(-1.0))
            began_s = process_time()
            for step in range(STEPS):
                model(x, torch.tensor(float(step)))
            return (process_time() - began_s) / STEPS

    steps.model = model  # type: ignore[attr-defined]
    return steps


def paired(run: Any, tmp_path: Path, **what: Any) -> list[float]:
    """Captured over bare, in turn; which comes first alternates too."""
    ratios = []
    run(nullcontext())
    for pair in range(PAIRS):
        times = {}
        for captured in (False, True) if pair % 2 else (True, False):
            out = tmp_path / f"{pair}"
            times[captured] = run(capture(run.model, out, **what) if captured else nullcontext())
        ratios.append(times[True] / times[False])
    return ratios


def report(what: str, ratios: list[float], bar: float) -> None:
    """On a line of its own, past pytest's dots."""
    low, high = min(ratios), max(ratios)
    print(
        f"\n{what}: {statistics.median(ratios) - 1:+.1%} ({low - 1:+.1%} to {high - 1:+.1%}) "
        f"(bar: {bar:.0%})",
        end="",
    )


def test_timings_cost_at_most_5_percent(run: Any, tmp_path: Path) -> None:
    """Of processor time, in all threads; the median of pairs."""
    ratios = paired(run, tmp_path)
    report("capture, timings only", ratios, 0.05)
    assert statistics.median(ratios) <= 1.05


def test_sketches_cost_at_most_10_percent(run: Any, tmp_path: Path) -> None:
    """Of K, V and the hidden states of every block."""
    ratios = paired(run, tmp_path, activations=Sketched(("k", "v", "hidden")))
    report("capture, with sketches of K, V and hidden states", ratios, 0.10)
    assert statistics.median(ratios) <= 1.10


def test_a_boundary_costs_microseconds(tmp_path: Path) -> None:
    """Of a module that computes nothing: what its two hooks take."""

    class Nothing(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.blocks = nn.ModuleList(nn.Identity() for _ in range(1000))

        def forward(self, x: torch.Tensor, timestep: float) -> torch.Tensor:
            del timestep
            for block in self.blocks:
                x = block(x)
            return x

    model, x = Nothing(), torch.zeros(1)
    times: dict[bool, list[float]] = {False: [], True: []}
    for captured in (False, True):
        with capture(model, tmp_path / "T") if captured else nullcontext():
            for step in range(9):
                began_s = process_time()
                model(x, float(step))
                times[captured].append(process_time() - began_s)
    bare_s, captured_s = (statistics.median(times[which]) for which in (False, True))
    each_us = (captured_s - bare_s) / 1000 * 1e6
    print(f"\na module's begin and end, with its rows on disk: {each_us:.0f} us", end="")
    assert each_us < 100


def test_memory_beyond_the_programs_own_is_that_of_a_steps_rows(tmp_path: Path) -> None:
    """Python's own; tensors are not held."""
    model = Denoiser().eval()
    x = torch.randn(1, 64, WIDTH)
    tracemalloc.start()
    try:
        with torch.inference_mode(), capture(model, tmp_path / "T"):
            model(x, torch.tensor(0.0))
            tracemalloc.reset_peak()
            before, _ = tracemalloc.get_traced_memory()
            for step in range(1, 20):
                model(x, torch.tensor(float(step)))
            _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    rows = 4 * DEPTH + 1
    print(f"\npeak of Python's memory beyond: {(peak - before) / 1e3:.0f} kB", end="")
    assert peak - before < rows * 4000
