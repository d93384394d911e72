"""Models in wrappers as xDiT has them are captured: stand-ins, for xDiT itself needs a GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import nn

from traces.capture import capture
from traces.trace import Trace


class Wrapper:
    """Has `module`, and in place of what it lacks what that has; so have xDiT's base wrappers."""

    module: Any

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["module"], name)


class Scheduler:
    """Takes latents a step on."""

    def step(self, noise: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """An Euler step."""
        return x - noise / 4


class SchedulerWrapper(Wrapper):
    """Steps by itself, as it may have to step for a part of the latents."""

    def __init__(self, module: Scheduler) -> None:
        self.module = module

    def step(self, noise: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        """As the one inside."""
        stepped: torch.Tensor = self.module.step(noise, x)
        return stepped


class AttentionWrapper(nn.Module):
    """Takes an attention's place in its block, and attends with others."""

    def __init__(self, attention: nn.Module) -> None:
        super().__init__()
        self.module = attention

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """As the one inside."""
        out: torch.Tensor = self.module(x)
        return out


class TransformerWrapper(nn.Module):
    """Has a forward of its own, which calls what is inside."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        for block in model.blocks:
            block.attn = AttentionWrapper(block.attn)
        self.module = model

    def forward(self, x: torch.Tensor, timestep: float) -> torch.Tensor:
        """Block by block."""
        model: Any = self.module
        x = model.embed(x) + timestep
        for block in model.blocks:
            x = block(x)
        return x


class Pipeline:
    """What is wrapped."""

    def __init__(self, model: nn.Module) -> None:
        self.transformer = TransformerWrapper(model)
        self.scheduler = SchedulerWrapper(Scheduler())


class PipelineWrapper(Wrapper):
    """Has a loop of its own: two forwards a step, of latents that are copied for each."""

    def __init__(self, module: Pipeline) -> None:
        self.module = module

    def __call__(self, steps: int) -> torch.Tensor:
        """What is left of the noise."""
        x = torch.ones(1, 2, 8)
        for step in range(steps):
            noise = sum(self.transformer(x.clone(), 1 - step / steps) for _ in range(2))
            x = self.scheduler.step(noise, x)
        return x


def test_wrapped_pipelines_are_looked_through(model: nn.Module, tmp_path: Path) -> None:
    """Steps by the wrapped scheduler, blocks inside the wrapped model, attention in its place."""
    torch.manual_seed(0)
    pipeline = PipelineWrapper(Pipeline(model))
    with torch.inference_mode():
        bare = pipeline(3)
        with capture(pipeline, out=tmp_path / "T"):
            captured = pipeline(3)
    assert torch.equal(bare, captured)
    assert "step" not in vars(pipeline.scheduler)
    trace = Trace.open(tmp_path / "T")
    assert trace.run.steps == 3
    rows = trace.ops[trace.ops["kind"] == "compute"]
    attention = rows[rows["name"] == "module.blocks.attn"]
    assert attention.groupby(["step", "layer"]).size().tolist() == [2] * 9
