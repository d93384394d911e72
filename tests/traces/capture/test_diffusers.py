"""Programs of diffusers, as it runs them: a pipeline's guidance, and blocks that a cache skips."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from traces.capture import capture
from traces.trace import Trace

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def diffusers() -> Any:
    """The library; importing it warns of names that torch has changed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("diffusers", reason="diffusers is not installed")


def flux(diffusers: Any) -> Any:
    """A small Flux transformer."""
    torch.manual_seed(0)
    return diffusers.FluxTransformer2DModel(
        num_layers=3,
        num_single_layers=2,
        in_channels=4,
        num_attention_heads=2,
        attention_head_dim=8,
        joint_attention_dim=8,
        pooled_projection_dim=8,
        axes_dims_rope=(2, 2, 4),
    ).eval()


def inputs(step: int) -> dict[str, Any]:
    """The same latents each time, as if they hardly changed."""
    return {
        "hidden_states": torch.ones(1, 16, 4),
        "encoder_hidden_states": torch.ones(1, 3, 8),
        "pooled_projections": torch.ones(1, 8),
        "img_ids": torch.zeros(16, 3),
        "txt_ids": torch.zeros(3, 3),
        "timestep": torch.tensor([1 - step / 100]),
        "return_dict": False,
    }


def test_blocks_that_first_block_cache_skips_say_so(diffusers: Any, tmp_path: Path) -> None:
    """Its threshold is never reached here: only the first block computes after the first step."""
    model = flux(diffusers)
    model.enable_cache(diffusers.FirstBlockCacheConfig(threshold=1e9))
    with torch.inference_mode(), model.cache_context("test"), capture(model, tmp_path / "T"):
        for step in range(2):
            model(**inputs(step))

    ops = Trace.open(tmp_path / "T").ops
    computed = [
        sorted(set(ops[(ops["step"] == step) & ops["name"].str.endswith("attn")]["layer"]))
        for step in range(2)
    ]
    assert computed == [[0, 1, 2, 3, 4], [0]]
    skipped = ops[ops["name"].str.endswith(" (skipped)")]
    assert set(skipped["step"]) == {1}
    assert sorted(set(skipped["layer"])) == [1, 2, 3, 4]


def test_keys_and_hidden_states_of_flux_are_kept(diffusers: Any, tmp_path: Path) -> None:
    """Each list of blocks under names of its own, as single blocks hold the text's tokens too."""
    model = flux(diffusers)
    with torch.inference_mode(), capture(model, tmp_path / "T", activations=["k", "hidden"]):
        for step in range(2):
            model(**inputs(step))

    trace = Trace.open(tmp_path / "T")
    assert {name: trace.activations(name).shape for name in trace.kept()} == {
        "k": (1, 2, 3, 1, 16, 16),
        "hidden": (1, 2, 3, 1, 16, 16),
        "single_transformer_blocks.k": (1, 2, 2, 1, 19, 16),
        "single_transformer_blocks.hidden": (1, 2, 2, 1, 16, 16),
    }


class Pipeline:
    """The loop of diffusers' Wan pipeline: two forwards a step, with the same latents."""

    def __init__(self, diffusers: Any) -> None:
        self.scheduler = diffusers.FlowMatchEulerDiscreteScheduler()
        self.transformer = diffusers.WanTransformer3DModel(
            num_layers=2,
            num_attention_heads=2,
            attention_head_dim=12,
            in_channels=4,
            out_channels=4,
            text_dim=8,
            freq_dim=8,
            ffn_dim=16,
        ).eval()

    def __call__(self, steps: int) -> None:
        """Denoise."""
        self.scheduler.set_timesteps(steps)
        latents = torch.randn(1, 4, 1, 4, 4)
        for t in self.scheduler.timesteps:
            told = t.expand(latents.shape[0])
            noise, _ = (
                self.transformer(
                    hidden_states=latents,
                    timestep=told,
                    encoder_hidden_states=prompt,
                    return_dict=False,
                )[0]
                for prompt in (torch.zeros(1, 3, 8), torch.ones(1, 3, 8))
            )
            latents = self.scheduler.step(noise, t, latents, return_dict=False)[0]


@pytest.mark.parametrize("whole", [True, False])
def test_a_pipelines_steps_are_counted(diffusers: Any, tmp_path: Path, *, whole: bool) -> None:
    """By its scheduler where the pipeline is given, else by the arguments of the forwards."""
    pipeline = Pipeline(diffusers)
    subject = pipeline if whole else pipeline.transformer
    with torch.inference_mode(), capture(subject, tmp_path / "T"):
        pipeline(3)

    ops = Trace.open(tmp_path / "T").ops
    attended = ops["name"] == "blocks.attn1"
    assert attended.groupby(ops["step"]).sum().tolist() == [4, 4, 4]
