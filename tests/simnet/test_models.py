"""The transformer: cut into pieces it must be the same network, and its shape the published one."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from simnet.counting import count
from simnet.models.dit import DiT, build
from simnet.models.presets import PRESETS, Preset, preset
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


def whole(model: DiT, x: Tensor) -> list[Tensor]:
    """The tokens after embedding and after each block."""
    c = model.condition(*when_and_what())
    h = [model.embed(x, model.position)]
    for block in model.blocks:
        q, kv, gates = block.project(h[-1], c)
        out, _ = block.attend(q, kv)
        h.append(block.finish(h[-1], gates, out))
    return h


def test_the_pieces_make_up_the_forward_pass(model: DiT) -> None:
    """Condition, embed, the blocks' parts and the head in turn give what the model gives."""
    x = noise(NANO)
    h = whole(model, x)[-1]
    pieces = model.head(h, model.condition(*when_and_what()))
    assert torch.equal(pieces, model(x, *when_and_what()))


def test_shapes_are_those_of_the_interface(model: DiT) -> None:
    """q, kv, gates, out and lse have the shapes that schedules and codecs rely on."""
    c = model.condition(*when_and_what())
    h = model.embed(noise(NANO)[:, :16], model.position[:16])
    block = model.blocks[1]
    q, kv, gates = block.project(h, c)
    out, lse = block.attend(q, kv)
    heads, width = NANO.heads, NANO.hidden // NANO.heads
    assert c.shape == (1, NANO.hidden)
    assert q.shape == out.shape == (1, heads, 16, width)
    assert kv.shape == (2, 1, heads, 16, width)
    assert kv.is_contiguous()
    assert lse.shape == (1, heads, 16)
    assert gates.shape == (4, 1, 1, NANO.hidden)
    assert block.finish(h, gates, out).shape == h.shape == (1, 16, NANO.hidden)
    assert model.head(h, c).shape == (1, 16, NANO.channels)
    assert [b.layer for b in model.blocks] == list(range(NANO.layers))


@settings(deadline=None, max_examples=15)
@given(ranks=st.sampled_from([2, 3, 4, 6, 8]), seed=st.integers(0, 1000))
def test_patches_computed_apart_are_slices_of_the_whole(ranks: int, seed: int) -> None:
    """Outside attention a token knows nothing of the others, so ranks can each have some."""
    model = build(NANO, seed, torch.float32, "cpu")
    x = noise(NANO, seed)
    c = model.condition(*when_and_what())
    size = NANO.tokens // ranks
    patches = [slice(r * size, (r + 1) * size) for r in range(ranks)]
    h = [model.embed(x[:, p], model.position[p]) for p in patches]
    for block in model.blocks:
        projected = [block.project(part, c) for part in h]
        kvs = [kv for _, kv, _ in projected]
        h = [
            block.finish(part, gates, block.attend_patches(q, *kvs)[0])
            for part, (q, _, gates) in zip(h, projected, strict=True)
        ]
    torch.testing.assert_close(torch.cat(h, dim=1), whole(model, x)[-1], rtol=1e-4, atol=1e-5)


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
    assert not torch.equal(one["blocks.0.qkv.weight"], other["blocks.0.qkv.weight"])


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
    for before, after in pairwise(h):
        assert (after - before).std() > 0.1 * before.std()
        assert 0.3 < after.std() < 3


def test_depth_does_not_make_activations_grow() -> None:
    """Forty layers end up at the scale of two."""
    deep = replace(NANO, name="deep", layers=40)
    assert 0.3 < whole(build(deep, 0, torch.float32, "cpu"), noise(deep))[-1].std() < 3


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


@pytest.mark.parametrize("tokens", [1, 2, 7, 12, 48, 256])
def test_every_token_has_a_place_of_its_own(tokens: int) -> None:
    """Positions differ whether the tokens fill a square, a rectangle or a line."""
    shape = replace(NANO, name="any", tokens=tokens)
    position = build(shape, 0, torch.float32, "cpu").position
    assert position.shape == (tokens, NANO.hidden)
    assert len({tuple(place.tolist()) for place in position}) == tokens


def test_neighbours_in_a_square_share_a_row_or_a_column() -> None:
    """Tokens are laid out row by row: half of the position is the row's, half the column's."""
    shape = replace(NANO, name="square", tokens=16)
    row, column = build(shape, 0, torch.float32, "cpu").position.view(4, 4, -1).chunk(2, dim=-1)
    assert torch.equal(row[1, 0], row[1, 3])
    assert torch.equal(column[0, 2], column[3, 2])
    assert not torch.equal(row[0, 2], row[3, 2])


@pytest.mark.parametrize("name", PRESETS)
def test_every_preset_runs_without_data(name: str) -> None:
    """On meta, building and calling even the largest takes neither memory nor weights."""
    shape = preset(name)
    model = build(shape, 0, torch.bfloat16, "meta")
    assert all(weight.is_meta for weight in weights(model).values())
    velocity, _ = on_meta(shape)
    assert velocity.shape == (1, shape.tokens, shape.channels)
    assert velocity.dtype == torch.bfloat16


def on_meta(shape: Preset) -> tuple[Tensor, tuple[Any, ...]]:
    """A forward pass without data: velocity and kernels."""
    model = build(shape, 0, torch.bfloat16, "meta")
    x = noise(replace(shape, tokens=1)).expand(1, shape.tokens, -1).to("meta", torch.bfloat16)
    return count(model, (x, *(value.to("meta") for value in when_and_what())))


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
    ],
)
def test_arithmetic_agrees_with_what_is_published(
    name: str, published_tflop: float, tolerance: float
) -> None:
    """FLOP of one forward pass, counted from the code that runs, within one per cent."""
    _, kernels = on_meta(preset(name))
    tflop = sum(kernel.flop for kernel in kernels) / 1e12
    assert tflop == pytest.approx(published_tflop, rel=tolerance)


def test_parameters_agree_with_what_is_published() -> None:
    """DiT-XL/2 has 675 million parameters (Peebles & Xie 2023, table 4)."""
    model = build(preset("dit-xl-2-256"), 0, torch.bfloat16, "meta")
    assert sum(p.numel() for p in model.parameters()) == pytest.approx(675e6, rel=0.01)


def test_an_unknown_preset_is_answered_with_the_nearest() -> None:
    """A misspelt name gets a suggestion and the list."""
    with pytest.raises(InputError, match=r"unknown model 'dit-nanno': did you mean 'dit-nano'"):
        preset("dit-nanno")


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("layers", 0, "layers is 0, expected 1 or more"),
        ("heads", 7, "does not split evenly into 7 heads"),
        ("hidden", 90, "hidden is 90, which does not split evenly"),
    ],
)
def test_impossible_shapes_are_refused(field: str, value: int, complaint: str) -> None:
    """A preset says which of its numbers cannot be."""
    changes: dict[str, Any] = {field: value}
    with pytest.raises(InputError, match=complaint):
        replace(NANO, **changes)
