"""Presets against the public implementations in `diffusers`, without data.

Needs `pip install "diffusers>=0.42,<0.43"`. Its classes make themselves from the sizes that the
models' authors published; what they count is counted by torch's own counter, not by ours.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from simnet.counting import count
from simnet.job import Job
from simnet.models.dit import build
from simnet.models.presets import preset

diffusers = pytest.importorskip("diffusers", reason="compares with diffusers, which is optional")
pytestmark = pytest.mark.slow


def empty(*shape: int, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    """An input without data."""
    return torch.empty(shape, device="meta", dtype=dtype)


whole = partial(empty, dtype=torch.long)


@dataclass(frozen=True)
class Public:
    """A public model: how to make it, what to call it with, and which weights have no match here.

    Those embed the text, the size and the class; `thinwire` has one linear layer for them.
    """

    kind: str
    sizes: dict[str, Any]
    inputs: dict[str, Any]
    unmatched: Callable[[str], bool] = lambda name: False  # noqa: ARG005 - every weight has one

    def make(self) -> nn.Module:
        """With weights on meta."""
        with torch.device("meta"):
            model: nn.Module = getattr(diffusers, self.kind)(**self.sizes)
        return model.to(torch.bfloat16).eval()


def flux(text: int, **guidance: Tensor) -> Public:
    """FLUX.1, whose guidance is an input like time."""
    return Public(
        "FluxTransformer2DModel",
        {"guidance_embeds": bool(guidance)},
        {
            "hidden_states": empty(1, 4096, 64),
            "encoder_hidden_states": empty(1, text, 4096),
            "pooled_projections": empty(1, 768),
            "timestep": empty(1),
            "img_ids": empty(4096, 3),
            "txt_ids": empty(text, 3),
            **guidance,
        },
    )


def cogvideox(layers: int, heads: int, **rotary: tuple[Tensor, Tensor]) -> Public:
    """CogVideoX at 720 x 480, 49 frames."""
    return Public(
        "CogVideoXTransformer3DModel",
        {
            "num_layers": layers,
            "num_attention_heads": heads,
            "use_rotary_positional_embeddings": bool(rotary),
            "sample_frames": 49,
        },
        {
            "hidden_states": empty(2, 13, 16, 60, 90),
            "encoder_hidden_states": empty(2, 226, 4096),
            "timestep": empty(2),
            **rotary,
        },
    )


def wan(layers: int, heads: int, mlp: int, rows: int, columns: int) -> Public:
    """Wan 2.1, 81 frames."""
    return Public(
        "WanTransformer3DModel",
        {"num_layers": layers, "num_attention_heads": heads, "ffn_dim": mlp},
        {
            "hidden_states": empty(2, 16, 21, rows, columns),
            "timestep": empty(2),
            "encoder_hidden_states": empty(2, 512, 4096),
        },
    )


def rotary(tokens: int, width: int) -> tuple[Tensor, Tensor]:
    """Cosines and sines of positions."""
    return empty(tokens, width, dtype=torch.float32), empty(tokens, width, dtype=torch.float32)


PUBLIC = {
    "flux.1-dev": flux(512, guidance=empty(1)),
    "flux.1-schnell": flux(256),
    "sd3-medium": Public(
        "SD3Transformer2DModel",
        {"num_layers": 24, "num_attention_heads": 24, "caption_projection_dim": 1536},
        {
            "hidden_states": empty(2, 16, 128, 128),
            "encoder_hidden_states": empty(2, 333, 4096),
            "pooled_projections": empty(2, 2048),
            "timestep": empty(2),
        },
    ),
    "pixart-alpha": Public(
        "PixArtTransformer2DModel",
        {"sample_size": 128, "caption_channels": 4096},
        {
            "hidden_states": empty(2, 4, 128, 128),
            "encoder_hidden_states": empty(2, 120, 4096),
            "timestep": empty(2),
            "added_cond_kwargs": {"resolution": empty(2, 2), "aspect_ratio": empty(2, 1)},
        },
    ),
    "hunyuandit": Public(
        "HunyuanDiT2DModel",
        {
            "hidden_size": 1408,
            "num_attention_heads": 16,
            "attention_head_dim": 88,
            "num_layers": 40,
            "mlp_ratio": 4.3637,
            "in_channels": 4,
            "patch_size": 2,
            "sample_size": 128,
            "activation_fn": "gelu-approximate",
        },
        {
            "hidden_states": empty(2, 4, 128, 128),
            "timestep": empty(2),
            "encoder_hidden_states": empty(2, 77, 1024),
            "text_embedding_mask": empty(2, 77),
            "encoder_hidden_states_t5": empty(2, 256, 2048),
            "text_embedding_mask_t5": empty(2, 256),
            "image_meta_size": empty(2, 6),
            "style": whole(2),
            "image_rotary_emb": rotary(4096, 88),
        },
        lambda name: name.startswith(("text_embedder", "time_extra_emb")),
    ),
    "cogvideox-2b": cogvideox(30, 30),
    "cogvideox-5b": cogvideox(42, 48, image_rotary_emb=rotary(17550, 64)),
    "hunyuanvideo": Public(
        "HunyuanVideoTransformer3DModel",
        {},
        {
            "hidden_states": empty(1, 16, 33, 90, 160),
            "timestep": whole(1),
            "encoder_hidden_states": empty(1, 256, 4096),
            "encoder_attention_mask": empty(1, 256, dtype=torch.bool),
            "pooled_projections": empty(1, 768),
            "guidance": empty(1),
        },
        lambda name: name.startswith("context_embedder"),  # two more layers, for the text alone
    ),
    "wan2.1-1.3b": wan(30, 12, 8960, 60, 104),
    "wan2.1-14b": wan(40, 40, 13824, 90, 160),
    "mochi-1": Public("MochiTransformer3DModel", {}, {}),
    "dit-xl-2": Public(
        "DiTTransformer2DModel",
        {"out_channels": 8, "num_layers": 28},
        {
            "hidden_states": empty(2, 4, 32, 32),
            "timestep": whole(2),
            "class_labels": whole(2),
        },
        # It has the embedding of time and class once in every block.
        lambda name: ".norm1.emb." in name and not name.startswith("transformer_blocks.0."),
    ),
}


def attention_flop(q: list[int], k: list[int], *_: Any, **__: Any) -> int:
    """Of the kernel for CPUs, which torch's counter does not know."""
    batch, heads, tokens, width = q
    return 4 * batch * heads * tokens * k[2] * width


def flop(model: nn.Module, *args: Any, **inputs: Any) -> int:
    """By torch's counter."""
    known = {torch.ops.aten._scaled_dot_product_flash_attention_for_cpu: attention_flop}
    counter = FlopCounterMode(display=False, custom_mapping=known)
    with torch.inference_mode(), counter:
        model(*args, **inputs)
    return int(counter.get_total_flops())


@pytest.mark.parametrize("name", PUBLIC)
def test_weights_are_as_many_as_the_public_models(name: str) -> None:
    """Within 1 %, but for what is left out."""
    public = PUBLIC[name]
    ours = build(preset(name), 0, torch.bfloat16, "meta").parameters()
    theirs = public.make().named_parameters()
    expected = sum(weight.numel() for part, weight in theirs if not public.unmatched(part))
    assert sum(weight.numel() for weight in ours) == pytest.approx(expected, rel=0.01)


@pytest.mark.parametrize("name", [name for name in PUBLIC if PUBLIC[name].inputs])
def test_a_step_takes_the_arithmetic_of_the_public_model(name: str) -> None:
    """Within 0.2 %, all forwards of a step with everything that embeds."""
    public = PUBLIC[name]
    job = Job(name, dtype="bfloat16", device="meta")
    _, kernels = count(job.model, (job.latent, job.time(0), job.label))
    expected = flop(public.make(), **public.inputs, return_dict=False)
    assert sum(kernel.flop for kernel in kernels) == pytest.approx(expected, rel=0.002)


def test_mochis_blocks_take_the_arithmetic_of_the_public_ones() -> None:
    """On a CPU and for a small picture: they look at the text's mask, which meta has none of."""
    small = replace(preset("mochi-1:width=64:height=64:frames=7"), layers=2)
    with torch.device("meta"):
        public = diffusers.MochiTransformer3DModel(num_layers=2)
    theirs = public.transformer_blocks.to_empty(device="cpu").float().eval()
    model = build(small, 0, torch.float32, "meta")
    image, text, time = (1, small.tokens, 3072), (1, 256, 1536), (1, 3072)
    mask = torch.ones(1, 256, dtype=torch.bool)
    for ours, block in zip(model.blocks, theirs, strict=True):
        h = torch.empty(image, device="meta"), torch.empty(text, device="meta")
        (q, kv, carry), before = count(ours.project, (h, (torch.empty(time, device="meta"),)))
        (out, _), during = count(ours.attend, (q, kv))
        _, after = count(ours.finish, (h, carry, out))
        expected = flop(block, torch.zeros(image), torch.zeros(text), torch.zeros(time), mask)
        counted = sum(kernel.flop for kernel in before + during + after)
        assert counted == pytest.approx(expected, rel=0.002)
