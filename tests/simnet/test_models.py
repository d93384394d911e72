"""The transformer: cut into pieces it must be the same network, and its shape the published one."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from simnet.counting import count
from simnet.job import Job
from simnet.models.block import State
from simnet.models.dit import DiT, build
from simnet.models.presets import PRESETS, preset
from simnet.models.shape import Joint, Preset
from traces.errors import InputError

NANO = preset("dit-nano")


@pytest.fixture(scope="module")
def model() -> DiT:
    """The smallest one."""
    return build(NANO, 0, torch.float32, "cpu")


def noise(shape: Preset, seed: int = 1) -> Tensor:
    """A latent (1, T, C)."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(1, shape.tokens, shape.channels, generator=generator)


def when_and_what() -> tuple[Tensor, Tensor]:
    """A time (1,) and a class (1,)."""
    return torch.full((1,), 0.7), torch.full((1,), 3)


def whole(model: DiT, x: Tensor) -> list[State]:
    """h after embedding and after each block."""
    c = model.condition(*when_and_what())
    h = [model.embed(c, x, model.position)]
    for block in model.blocks:
        q, kv, carry = block.project(h[-1], c)
        out, _ = block.attend(q, kv)
        h.append(block.finish(h[-1], carry, out))
    return h


def test_the_pieces_make_up_the_forward_pass(model: DiT) -> None:
    """Condition, embed, the blocks' parts and the head in turn give what the model gives."""
    x = noise(NANO)
    h = whole(model, x)[-1]
    pieces = model.head(h, model.condition(*when_and_what()))
    assert torch.equal(pieces, model(x, *when_and_what()))


def test_shapes_are_those_of_the_interface(model: DiT) -> None:
    """q, kv, out and lse have the shapes that schedules and codecs rely on."""
    c = model.condition(*when_and_what())
    h = model.embed(c, noise(NANO)[:, :16], model.position[:16])
    block = model.blocks[1]
    q, kv, carry = block.project(h, c)
    out, lse = block.attend(q, kv)
    heads, width = NANO.heads, NANO.hidden // NANO.heads
    assert q[0].shape == out.shape == (1, heads, 16, width)
    assert kv.shape == (2, 1, heads, 16, width)
    assert kv.is_contiguous()
    assert lse.shape == (1, heads, 16)
    after = block.finish(h, carry, out)
    assert [len(h), len(q), len(after)] == [1, 1, 1]
    assert after[0].shape == h[0].shape == (1, 16, NANO.hidden)
    assert model.head(h, c).shape == (1, 16, NANO.channels)
    assert [b.layer for b in model.blocks] == list(range(NANO.layers))


@settings(max_examples=15)
@given(ranks=st.sampled_from([2, 3, 4, 6, 8]), seed=st.integers(0, 1000))
def test_patches_computed_apart_are_slices_of_the_whole(ranks: int, seed: int) -> None:
    """Outside attention a token knows nothing of the others, so ranks can each have some."""
    model = build(NANO, seed, torch.float32, "cpu")
    x = noise(NANO, seed)
    c = model.condition(*when_and_what())
    size = NANO.tokens // ranks
    patches = [slice(r * size, (r + 1) * size) for r in range(ranks)]
    h = [model.embed(c, x[:, p], model.position[p]) for p in patches]
    for block in model.blocks:
        projected = [block.project(part, c) for part in h]
        kvs = [kv for _, kv, _ in projected]
        h = [
            block.finish(part, carry, block.attend_patches(q, *kvs)[0])
            for part, (q, _, carry) in zip(h, projected, strict=True)
        ]
    tokens = torch.cat([part for (part,) in h], dim=1)
    torch.testing.assert_close(tokens, whole(model, x)[-1][0], rtol=1e-4, atol=1e-5)


def test_attending_to_patches_one_by_one_is_attending_to_all(model: DiT) -> None:
    """A ring's way (attend, then attend_more) and an all-gather's (attend_patches) agree."""
    block = model.blocks[0]
    q, kv, _ = block.project(whole(model, noise(NANO))[0], model.condition(*when_and_what()))
    first, *rest = kv.chunk(4, dim=-2)
    out, lse = block.attend(q, first)
    for part in rest:
        out, lse = block.attend_more(q, part, out, lse)
    together = block.attend_patches(q, first, *rest)
    torch.testing.assert_close((out, lse), together, rtol=1e-5, atol=1e-5)


def test_the_order_of_patches_is_their_order_along_the_tokens(model: DiT) -> None:
    """attend_patches of the parts in order is attend of the whole, bit for bit."""
    q, kv, _ = model.blocks[0].project(
        whole(model, noise(NANO))[0], model.condition(*when_and_what())
    )
    apart = model.blocks[0].attend_patches(q, *kv.chunk(3, dim=-2))
    assert all(map(torch.equal, apart, model.blocks[0].attend(q, kv)))


def weights(model: DiT) -> dict[str, Tensor]:
    """Parameters and buffers by name."""
    return {**dict(model.named_parameters()), **dict(model.named_buffers())}


def test_weights_depend_on_the_seed_alone() -> None:
    """The state of torch's own generator neither matters nor changes."""
    torch.manual_seed(1)
    before = torch.get_rng_state()
    one = weights(build(NANO, 5, torch.float32, "cpu"))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(2)
    same, other = (weights(build(NANO, seed, torch.float32, "cpu")) for seed in (5, 6))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["blocks.0.image.qkv.weight"], other["blocks.0.image.qkv.weight"])


def test_weights_of_another_type_are_the_same_numbers_rounded() -> None:
    """Half precision is the float32 model cast, not another model."""
    single = weights(build(NANO, 5, torch.float32, "cpu"))
    half = weights(build(NANO, 5, torch.bfloat16, "cpu"))
    assert all(torch.equal(half[name], single[name].to(half[name].dtype)) for name in single)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_gives_about_the_same_velocity(dtype: torch.dtype, model: DiT) -> None:
    """The model runs in 16 bit throughout, and stays close."""
    rounded = build(NANO, 0, dtype, "cpu")
    velocity = rounded(noise(NANO).to(dtype), *when_and_what())
    assert velocity.dtype == dtype
    difference = (velocity.float() - model(noise(NANO), *when_and_what())).abs().mean()
    assert difference < 0.03


def test_a_model_is_for_inference_only(model: DiT) -> None:
    """No gradients, no training mode."""
    assert not model.training
    assert not any(p.requires_grad for p in model.parameters())


def test_a_random_model_is_not_trivial() -> None:
    """Every block changes the tokens noticeably, and none lets them grow out of hand."""
    model = build(preset("dit-tiny"), 0, torch.float32, "cpu")
    h = whole(model, noise(preset("dit-tiny")))
    for (before,), (after,) in pairwise(h):
        assert (after - before).std() > 0.1 * before.std()
        assert 0.3 < after.std() < 3


def test_depth_does_not_make_activations_grow() -> None:
    """Forty layers end up at the scale of two."""
    deep = replace(NANO, name="deep", layers=40)
    assert 0.3 < whole(build(deep, 0, torch.float32, "cpu"), noise(deep))[-1][0].std() < 3


def test_time_label_and_position_all_matter(model: DiT) -> None:
    """Each input of the network reaches its output."""
    x = noise(NANO)
    usual = model(x, *when_and_what())
    moment, label = when_and_what()
    others = {
        "time": model(x, moment / 2, label),
        "label": model(x, moment, label + 1),
        "position": model(x.roll(1, dims=1), moment, label).roll(-1, dims=1),
    }
    for name, velocity in others.items():
        assert (velocity - usual).std() > 0.01, name


@pytest.mark.parametrize("size", [(16, 16, 1), (112, 16, 1), (96, 48, 1), (32, 48, 9)])
def test_every_token_has_a_place_of_its_own(size: tuple[int, int, int]) -> None:
    """Positions differ whether the tokens fill a line, a rectangle or a video."""
    width_px, height_px, frames = size
    pixels: dict[str, Any] = {"width_px": width_px, "height_px": height_px, "frames": frames}
    shape = replace(NANO, name="any", token_frames=4, **pixels)
    position = build(shape, 0, torch.float32, "cpu").position
    assert position.shape == (shape.tokens, NANO.hidden)
    assert len({tuple(place.tolist()) for place in position}) == shape.tokens


def test_neighbours_in_a_square_share_a_row_or_a_column() -> None:
    """Tokens are laid out row by row: half of the position is the row's, half the column's."""
    shape = replace(NANO, name="square", width_px=64, height_px=64)
    row, column = build(shape, 0, torch.float32, "cpu").position.view(4, 4, -1).chunk(2, dim=-1)
    assert torch.equal(row[1, 0], row[1, 3])
    assert torch.equal(column[0, 2], column[3, 2])
    assert not torch.equal(row[0, 2], row[3, 2])


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_runs_without_data(name: str) -> None:
    """On meta, building and calling even the largest takes neither memory nor weights."""
    job = Job(name, dtype="bfloat16", device="meta")
    assert all(weight.is_meta for weight in weights(job.model).values())
    velocity = job.model(job.latent, job.time(0), job.label)
    assert velocity.shape == (job.batch, job.preset.tokens, job.preset.channels)
    assert velocity.dtype == torch.bfloat16


@pytest.mark.parametrize(
    ("name", "published_tflop", "tolerance"),
    [
        # Peebles & Xie 2023, table 1 and 4: "Gflops", which are multiply-adds, of 2 FLOP each.
        ("dit-s-2-256", 2 * 6.06e-3, 0.01),
        ("dit-b-2-256", 2 * 23.01e-3, 0.01),
        ("dit-l-2-256", 2 * 80.71e-3, 0.01),
        ("dit-xl-2-256", 2 * 118.64e-3, 0.01),
        ("dit-xl-2-512", 2 * 524.60e-3, 0.01),
        # Worked out from the published layers, width and tokens; 2 FLOP a multiply-add.
        ("flux-shaped", 74.36, 0.01),
        ("sd3-shaped", 8.911, 0.01),
        ("flux.1-dev:width=512:height=512", 21.482, 0.002),
        ("flux.1-dev", 74.362, 0.002),
        ("flux.1-dev:width=4096:height=4096", 3908.136, 0.002),
        ("sd3-medium", 8.911, 0.002),
        ("pixart-alpha:width=2048:height=2048", 51.953, 0.002),
        ("hunyuandit:width=2048:height=2048", 102.516, 0.002),
        ("cogvideox-2b", 119.984, 0.002),
        ("cogvideox-5b", 332.177, 0.002),
        ("hunyuanvideo:width=960:height=544", 4285.128, 0.002),
        ("wan2.1-1.3b", 282.98, 0.002),
        ("wan2.1-14b:width=832:height=480", 1678.279, 0.002),
        ("mochi-1", 283.498, 0.01),  # there, as if the text were as wide as the image
    ],
)
def test_arithmetic_agrees_with_what_is_published(
    name: str, published_tflop: float, tolerance: float
) -> None:
    """FLOP of one forward pass, counted from the code that runs, within one per cent."""
    job = Job(name, dtype="bfloat16", device="meta")
    _, kernels = count(job.model, (job.latent, job.time(0), job.label))
    tflop = sum(kernel.flop for kernel in kernels) / job.batch / 1e12
    assert tflop == pytest.approx(published_tflop, rel=tolerance)


def test_parameters_agree_with_what_is_published() -> None:
    """DiT-XL/2 has 675 million parameters (Peebles & Xie 2023, table 4)."""
    model = build(preset("dit-xl-2-256"), 0, torch.bfloat16, "meta")
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(675e6, rel=0.01)


def test_the_docs_name_every_preset() -> None:
    """Those of DiTs in other sizes aside."""
    docs = (Path(__file__).parents[2] / "docs" / "models.md").read_text()
    for name in PRESETS:
        assert f"`{name}`" in docs or name.endswith(("-256", "-512")), name


def test_an_unknown_preset_is_answered_with_the_nearest() -> None:
    """A misspelt name gets a suggestion and the list."""
    with pytest.raises(InputError, match=r"unknown model 'dit-nanno': did you mean 'dit-nano'"):
        preset("dit-nanno")


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("layers", 0, "layers is 0, expected 1 or more"),
        ("single_layers", 99, r"99 of its \d+ layers are single; set both"),
        ("heads", 7, "does not split evenly into 7 heads"),
        ("hidden", 90, "hidden is 90, which does not split evenly"),
        ("width_px", 100, "width_px is 100, expected a multiple of 16"),
        ("text", Joint(tokens=0, channels=8), "its text has 0 tokens, expected 1 or more"),
    ],
)
def test_impossible_shapes_are_refused(field: str, value: object, complaint: str) -> None:
    """A preset says which of its numbers cannot be."""
    changes: dict[str, Any] = {field: value}
    with pytest.raises(InputError, match=complaint):
        replace(NANO, **changes)


def test_a_presets_picture_and_text_can_be_of_another_size() -> None:
    """Tokens follow from pixels and frames, and the name says what was changed."""
    large = preset("flux.1-dev:width=2048:height=1024:text=256")
    assert (large.tokens, large.text_tokens) == (2 * 4096, 256)
    assert large.name == "flux.1-dev:width=2048:height=1024:text=256"
    assert preset("hunyuanvideo:width=960:height=544:frames=97").tokens == 25 * 34 * 60


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("flux.1-dev:widht=512", "unknown parameter of flux.1-dev 'widht': did you mean 'width'"),
        ("flux.1-dev:width=1k", "width is '1k', expected an integer"),
        ("flux.1-dev:width=1000", "width_px is 1000, expected a multiple of 16"),
        ("cogvideox-2b:frames=48", "frames is 48, expected 1 more than a multiple of 4"),
        ("dit-nano:text=4", "dit-nano draws classes"),
        ("flux.1-dev:frames=5", "flux.1-dev draws one image; it has no frames to set"),
    ],
)
def test_a_size_that_is_not_understood_is_refused(text: str, complaint: str) -> None:
    """With what would do."""
    with pytest.raises(InputError, match=complaint):
        preset(text)
