"""Blocks and attention are found by rules that hold for the models that people run."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
from torch import nn

from traces.capture.discovery import Block, blocks, denoiser, taps
from traces.capture.steps import timestep_name
from traces.errors import InputError


def named(found: list[Block]) -> list[tuple[str, tuple[str, ...]]]:
    """A block's name and its attentions'."""
    return [
        (block.name, tuple(attention.name for attention in block.attentions)) for block in found
    ]


def test_blocks_of_a_list_are_found_with_their_attention(model: nn.Module) -> None:
    """What is only named after it (norm_attn) is not one."""
    found = blocks(model)
    assert named(found) == [("blocks", ("blocks.attn",))] * 3
    assert [block.layer for block in found] == [0, 1, 2]


def test_wrappers_are_looked_through(model: nn.Module) -> None:
    """Such as those of data parallelism."""
    wrapper = nn.Module()
    wrapper.module = model
    assert named(blocks(wrapper)) == [("module.blocks", ("module.blocks.attn",))] * 3


def test_lists_without_attention_are_blocks_where_there_is_none() -> None:
    """Of the lists that are least deep; of lists of unlike modules each is one block."""
    model = nn.Module()
    model.layers = nn.ModuleList(nn.ModuleList([nn.Linear(1, 1), nn.ReLU()]) for _ in "ab")
    model.inner = nn.Module()
    model.inner.layers = nn.ModuleList(nn.Linear(1, 1) for _ in "ab")
    model.odd = nn.ModuleList([nn.Linear(1, 1), nn.ReLU()])
    assert named(blocks(model)) == [("layers", ())] * 2


def test_stages_of_blocks_are_taken_apart(model: nn.Module) -> None:
    """A list of lists of one class each: it is their modules that are called."""
    staged = nn.Module()
    some = list(model.get_submodule("blocks").children())
    staged.stages = nn.ModuleList([nn.ModuleList(some[:2]), nn.ModuleList(some[2:])])
    found = blocks(staged)
    assert named(found) == [("stages", ("stages.attn",))] * 3
    assert [block.module for block in found] == some


def test_a_list_that_is_a_block_gives_nothing_itself() -> None:
    """Such as of an attention and an MLP: it is not called, so that its output is refused."""
    model = nn.Module()
    pairs = [nn.ModuleList([nn.MultiheadAttention(1, 1), nn.Linear(1, 1)]) for _ in "ab"]
    model.layers = nn.ModuleList(pairs)
    assert named(blocks(model)) == [("layers", ("layers",))] * 2
    with pytest.raises(InputError, match="activation 'hidden': no block"):
        taps(blocks(model), ("hidden",))


def test_a_pipelines_denoiser_is_its_transformer_or_unet(model: nn.Module) -> None:
    """By its name; nothing else of the pipeline is looked at."""

    class Pipeline:
        vae = nn.Linear(1, 1)
        unet = model

    assert denoiser(Pipeline()) is model
    assert denoiser(model) is model
    with pytest.raises(InputError, match="int: is no torch module"):
        denoiser(3)


class Gate(nn.Module):
    """A router that gives its choices, their weights and a loss."""

    def forward(self, x: torch.Tensor) -> Any:
        """Which expert, by what weight."""
        scores, chosen = x.softmax(-1).max(-1)
        return chosen, scores, None


def test_several_attentions_of_a_block_have_names_of_their_own() -> None:
    """The only one has none; routers are found by their name."""
    model = nn.Module()
    model.blocks = nn.ModuleList()
    for _ in range(2):
        block = nn.Module()
        for name in ("attn1", "attn2"):
            attention = nn.Module()
            attention.to_k = nn.Linear(1, 1)
            setattr(block, name, attention)
        block.gate = Gate()
        model.blocks.append(block)

    found = taps(blocks(model), ("k", "chosen"))

    assert [(tap.name, tap.layer) for tap in found] == [
        *[("attn1.k", 0), ("attn2.k", 0), ("attn1.k", 1), ("attn2.k", 1)],
        *[("chosen", 0), ("chosen", 1)],
    ]


SMALL: dict[str, Any] = {"num_attention_heads": 2, "attention_head_dim": 8}
#: Class of diffusers -> a small configuration, and its blocks: (name, attentions, how many).
MODELS: dict[str, tuple[dict[str, Any], list[tuple[str, str, int]]]] = {
    "FluxTransformer2DModel": (
        SMALL
        | {
            "num_layers": 2,
            "num_single_layers": 3,
            "in_channels": 4,
            "joint_attention_dim": 8,
            "pooled_projection_dim": 8,
            "axes_dims_rope": (2, 2, 4),
        },
        [("transformer_blocks", "attn", 2), ("single_transformer_blocks", "attn", 3)],
    ),
    "SD3Transformer2DModel": (
        SMALL
        | {
            "num_layers": 2,
            "sample_size": 8,
            "in_channels": 4,
            "joint_attention_dim": 8,
            "caption_projection_dim": 16,
            "pooled_projection_dim": 8,
        },
        [("transformer_blocks", "attn", 2)],
    ),
    "PixArtTransformer2DModel": (
        SMALL
        | {
            "num_layers": 2,
            "sample_size": 8,
            "in_channels": 4,
            "out_channels": 8,
            "cross_attention_dim": 16,
            "caption_channels": 8,
        },
        [("transformer_blocks", "attn1 attn2", 2)],
    ),
    "DiTTransformer2DModel": (
        SMALL | {"num_layers": 2, "sample_size": 8, "in_channels": 4},
        [("transformer_blocks", "attn1", 2)],
    ),
    "CogVideoXTransformer3DModel": (
        SMALL | {"num_layers": 2, "in_channels": 4, "text_embed_dim": 8, "time_embed_dim": 8},
        [("transformer_blocks", "attn1", 2)],
    ),
    "HunyuanVideoTransformer3DModel": (
        SMALL
        | {
            "num_layers": 2,
            "num_single_layers": 2,
            "num_refiner_layers": 2,
            "in_channels": 4,
            "text_embed_dim": 8,
            "pooled_projection_dim": 8,
            "rope_axes_dim": (2, 2, 4),
        },
        [("transformer_blocks", "attn", 2), ("single_transformer_blocks", "attn", 2)],
    ),
    "WanTransformer3DModel": (
        SMALL | {"num_layers": 2, "in_channels": 4, "text_dim": 8, "freq_dim": 8, "ffn_dim": 16},
        [("blocks", "attn1 attn2", 2)],
    ),
}


@pytest.fixture(scope="module")
def diffusers() -> Any:
    """The library; importing it warns of names that torch has changed."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return pytest.importorskip("diffusers", reason="diffusers is not installed")


@pytest.mark.slow
@pytest.mark.parametrize("name", MODELS)
def test_models_of_diffusers_are_recognised(diffusers: Any, name: str) -> None:
    """Their blocks, list after list, with their attention; their timestep, keys and values."""
    settings, lists = MODELS[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = getattr(diffusers, name)(**settings)

    found = blocks(model)

    expected = [
        (path, tuple(f"{path}.{attention}" for attention in attentions.split()))
        for path, attentions, count in lists
        for _ in range(count)
    ]
    assert named(found) == expected
    assert timestep_name(model) == "timestep"
    assert {tap.layer for tap in taps(found, ("k", "v", "hidden"))} == set(range(len(expected)))


@pytest.mark.slow
def test_a_unet_is_recognised_by_its_large_blocks(diffusers: Any) -> None:
    """The way down and the way up."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model = diffusers.UNet2DConditionModel(
            block_out_channels=(8, 16, 16),
            layers_per_block=1,
            norm_num_groups=4,
            cross_attention_dim=8,
            down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
            up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        )
    assert [block.name for block in blocks(model)] == ["down_blocks"] * 3 + ["up_blocks"] * 3
