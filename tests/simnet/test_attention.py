"""Attention in parts must come to the same as attention in one go."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from simnet.models.attention import attend, merge

HEADS, QUERIES, KEYS, WIDTH = 3, 7, 24, 8


def drawn(seed: int, spread: float = 1.0) -> tuple[Tensor, Tensor]:
    """Queries (1, H, T, E), and keys and values (2, 1, H, S, E)."""
    generator = torch.Generator().manual_seed(seed)
    q = spread * torch.randn(1, HEADS, QUERIES, WIDTH, generator=generator)
    kv = torch.randn(2, 1, HEADS, KEYS, WIDTH, generator=generator)
    return q, kv


def by_definition(q: Tensor, kv: Tensor) -> tuple[Tensor, Tensor]:
    """The textbook's softmax(q k / sqrt(E)) v, in float64."""
    k, v = kv.double()
    scores = q.double() @ k.transpose(-1, -2) / math.sqrt(WIDTH)
    return scores.softmax(-1) @ v, scores.logsumexp(-1)


def in_parts(q: Tensor, kv: Tensor, sizes: list[int]) -> tuple[Tensor, Tensor]:
    """Attention to one part of the keys after the other, merged."""
    first, *rest = kv.split(sizes, dim=-2)
    out, lse = attend(q, first)
    for part in rest:
        out, lse = merge(out, lse, *attend(q, part))
    return out, lse


def test_attention_is_what_its_definition_says() -> None:
    """Output and log-sum-exp agree with the formula, evaluated in double precision."""
    q, kv = drawn(0)
    out, lse = attend(q, kv)
    expected_out, expected_lse = by_definition(q, kv)
    torch.testing.assert_close(out.double(), expected_out, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(lse.double(), expected_lse, rtol=1e-5, atol=1e-6)


@settings(max_examples=40)
@given(
    seed=st.integers(0, 10_000),
    cuts=st.sets(st.integers(1, KEYS - 1), max_size=6),
    spread=st.sampled_from([0.1, 1.0, 10.0]),
)
def test_parts_of_any_size_merge_to_the_whole(seed: int, cuts: set[int], spread: float) -> None:
    """However the keys are split, and however sharp the attention, the merged result is exact."""
    q, kv = drawn(seed, spread)
    edges = [0, *sorted(cuts), KEYS]
    sizes = [after - before for before, after in pairwise(edges)]
    out, lse = in_parts(q, kv, sizes)
    whole_out, whole_lse = attend(q, kv)
    torch.testing.assert_close(out, whole_out, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(lse, whole_lse, rtol=1e-5, atol=1e-5)


def test_the_order_of_the_parts_makes_no_difference() -> None:
    """A ring visits the parts in another order on every rank; the result is the same."""
    q, kv = drawn(1)
    a, b = kv.split(KEYS // 2, dim=-2)
    one = merge(*attend(q, a), *attend(q, b))
    other = merge(*attend(q, b), *attend(q, a))
    torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-6)


def test_merging_survives_scores_far_beyond_what_can_be_exponentiated() -> None:
    """A part that outweighs the other by e^1000 wins, without becoming infinite."""
    weak, strong = torch.zeros(1, 1, 1, 2), torch.ones(1, 1, 1, 2)
    low, high = torch.full((1, 1, 1), -500.0), torch.full((1, 1, 1), 500.0)
    for pair in ((weak, low, strong, high), (strong, high, weak, low)):
        out, lse = merge(*pair)
        assert torch.equal(out, strong)
        assert torch.equal(lse, high)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_half_precision_keeps_its_type_and_a_full_log_sum_exp(dtype: torch.dtype) -> None:
    """Outputs stay in 16 bit; the log-sum-exp, by which parts are weighed, in 32."""
    q, kv = (x.to(dtype) for x in drawn(2))
    out, lse = in_parts(q, kv, [KEYS // 2, KEYS // 2])
    assert (out.dtype, lse.dtype) == (dtype, torch.float32)
    expected, _ = by_definition(q, kv)
    torch.testing.assert_close(out.double(), expected, rtol=2e-2, atol=2e-2)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_meta_tensors_come_out_with_the_same_shapes_and_types(dtype: torch.dtype) -> None:
    """What the simulator sees of attention is what the CPU gives."""
    q, kv = (x.to(dtype) for x in drawn(3))
    real = in_parts(q, kv, [KEYS // 2, KEYS // 2])
    meta = in_parts(q.to("meta"), kv.to("meta"), [KEYS // 2, KEYS // 2])
    assert [(x.shape, x.dtype) for x in meta] == [(x.shape, x.dtype) for x in real]


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_a_gpu_agrees_with_the_definition(dtype: torch.dtype) -> None:
    """Each type takes another kernel there; all give outputs and log-sum-exps of the same shape."""
    q, kv = (x.to("cuda", dtype) for x in drawn(4))
    out, lse = in_parts(q, kv, [KEYS // 2, KEYS // 2])
    expected_out, expected_lse = by_definition(q, kv)
    assert (out.dtype, lse.dtype) == (dtype, torch.float32)
    torch.testing.assert_close(out.double(), expected_out, rtol=2e-2, atol=2e-2)
    torch.testing.assert_close(lse.double(), expected_lse, rtol=2e-2, atol=2e-2)
