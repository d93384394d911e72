"""Kernels are counted from the code that runs, on tensors that hold nothing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.nn.functional import embedding, linear

from simnet.counting import Kernel, count
from simnet.models.attention import attend
from simnet.models.dit import build
from simnet.models.presets import preset


def meta(*shape: int, dtype: torch.dtype = torch.float32) -> Tensor:
    """A tensor without data."""
    return torch.empty(shape, dtype=dtype, device="meta")


def test_a_matrix_product_is_counted_by_its_formula() -> None:
    """2 m k n FLOP; both factors are read, the product is written."""
    result, kernels = count(torch.matmul, (meta(5, 7), meta(7, 3)))
    assert result.shape == (5, 3)
    assert kernels == (Kernel("mm", 2 * 5 * 7 * 3, 4 * (5 * 7 + 7 * 3 + 5 * 3)),)


def test_attention_is_counted_as_two_matrix_products() -> None:
    """4 B H T S E FLOP; q, k and v are read, the output and its log-sum-exp written."""
    heads, queries, keys, width = 3, 16, 48, 8
    args = meta(1, heads, queries, width), meta(2, 1, heads, keys, width)
    _, (kernel,) = count(attend, args)
    assert kernel.flop == 4 * heads * queries * keys * width
    assert kernel.bytes == 4 * heads * (2 * queries * width + 2 * keys * width + queries)


def test_elementwise_work_is_memory_traffic_only() -> None:
    """An addition reads two, writes one and counts no FLOP; half the bytes in half precision."""
    for dtype, size in ((torch.float32, 4), (torch.bfloat16, 2)):
        _, kernels = count(torch.add, (meta(100, dtype=dtype), meta(100, dtype=dtype)))
        assert kernels == (Kernel("add", 0, 3 * 100 * size),)


@pytest.mark.parametrize(
    "view",
    [
        lambda x: x.view(6, 4),
        lambda x: x.transpose(0, 1)[1:, :2],
        lambda x: x.flatten().unsqueeze(0).expand(5, -1),
        lambda x: x.reshape(24).chunk(3),
        lambda x: x.contiguous(),
        lambda x: x.float(),
        torch.empty_like,
    ],
)
def test_views_cost_nothing(view: Callable[[Tensor], Any]) -> None:
    """What only names memory anew, or moves nothing because there is nothing to do, is free."""
    _, kernels = count(view, (meta(4, 6),))
    assert kernels == ()


def test_a_copy_that_is_needed_is_counted() -> None:
    """Making a transposed matrix contiguous reads and writes all of it."""
    _, kernels = count(lambda x: x.t().contiguous(), (meta(4, 6),))
    assert kernels == (Kernel("clone", 0, 2 * 4 * 6 * 4),)


def test_only_the_rows_that_are_looked_up_are_read() -> None:
    """An embedding does not read its whole table."""
    index = meta(1, dtype=torch.int64)
    _, (kernel,) = count(embedding, (index, meta(1000, 64)))
    assert kernel.bytes == 2 * 64 * 4 + 8


def test_a_repeated_tensor_is_read_once() -> None:
    """Broadcast inputs count at the size that they have in memory."""
    _, (kernel,) = count(torch.neg, (meta(1, 8).expand(100, 8),))
    assert kernel.bytes == 4 * (8 + 100 * 8)


@pytest.mark.parametrize("mode", [nullcontext, torch.no_grad, torch.inference_mode])
def test_counts_are_the_same_in_every_mode(
    mode: Callable[[], AbstractContextManager[None]],
) -> None:
    """Drivers run in inference mode, where torch hands over composite operations whole."""
    _, kernels = linear_and_copy()
    with mode():
        assert linear_and_copy()[1] == kernels
    assert [kernel.name for kernel in kernels] == ["addmm", "clone"]


def linear_and_copy() -> tuple[Tensor, tuple[Kernel, ...]]:
    """One plain kernel, one that copies, and views between."""
    return count(
        lambda x, w, b: linear(x, w, b).transpose(1, 2).contiguous(),
        (meta(1, 5, 8), meta(6, 8), meta(6)),
    )


def test_a_block_is_counted_like_the_formula() -> None:
    """Projections, attention and MLP: 24 T D^2 + 4 T^2 D, and the modulation's 12 D^2."""
    shape = preset("dit-nano")
    tokens, width = shape.tokens, shape.hidden
    block = build(shape, 0, torch.float32, "meta").blocks[0]
    (q, kv, carry), before = count(block.project, ((meta(1, tokens, width),), (meta(1, width),)))
    (out, _), during = count(block.attend, (q, kv))
    _, after = count(block.finish, ((meta(1, tokens, width),), carry, out))
    flop = sum(kernel.flop for kernel in before + during + after)
    assert flop == 24 * tokens * width**2 + 4 * tokens**2 * width + 12 * width**2


def test_counting_agrees_between_meta_and_real_tensors() -> None:
    """Nothing depends on the tensors being empty."""
    shape = preset("dit-nano")
    counts = []
    for device in ("meta", "cpu"):
        block = build(shape, 0, torch.float32, device).blocks[0]
        h = torch.zeros(1, shape.tokens, shape.hidden, device=device)
        counts.append(count(block.project, ((h,), (h[:, 0],)))[1])
    assert counts[0] == counts[1]


def test_errors_come_through() -> None:
    """Shapes that do not fit are torch's to complain about, as in a live run."""
    with pytest.raises(RuntimeError, match=r"2, 3|2x3"):
        count(torch.matmul, (meta(2, 3), meta(4, 5)))
