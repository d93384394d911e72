"""Second moments and changes, against sums in float64."""

from __future__ import annotations

import pytest
import torch

from traces.capture.moments import moments
from traces.capture.projection import SLAB

SHAPES = {
    (7,): (7, 1),
    (5, 3): (5, 3),
    (2, 5, 3): (10, 3),
    (2, 4, 5, 3): (10, 12),
    (2, 2, 4, 5, 3): (20, 12),
    (1, 2000, 300): (2000, 300),
    (): (1, 1),
}


def drawn(*shape: int, seed: int = 0) -> torch.Tensor:
    """Independent Gaussian numbers."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_moments_are_sums_of_squares_by_token_and_channel(shape: tuple[int, ...]) -> None:
    """Channels are those of all heads; more than a slab is added up slab by slab."""
    x, tokens, channels = drawn(*shape), *SHAPES[shape]
    exact = x.double()
    rows = exact.swapaxes(-3, -2) if x.ndim > 3 else exact
    matrix = rows.reshape(tokens, channels)
    found = moments(x)
    torch.testing.assert_close(found.token.double(), matrix.square().sum(1), rtol=1e-6, atol=0)
    torch.testing.assert_close(found.channel, matrix.square().sum(0), rtol=1e-6, atol=0)
    assert found.changes.tolist() == []


def test_the_larger_case_is_of_several_slabs() -> None:
    """Else the test above would not tell."""
    assert 2 * SLAB["cpu"] < 2000 * 300


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_changes_are_exact_however_small(dtype: torch.dtype) -> None:
    """Of numbers as they are, not of their rounded differences."""
    x = drawn(3, 700, 200).to(dtype)
    others = [(x + 1e-3 * drawn(3, 700, 200, seed=lag).to(dtype)) for lag in (1, 2)]
    expected = [(x.double() - other.double()).square().sum() for other in others]
    found = moments(x, others).changes
    torch.testing.assert_close(found, torch.stack(expected), rtol=1e-5, atol=0)


def test_what_does_not_lie_in_a_row_is_the_same() -> None:
    """A view of keys inside of a larger projection."""
    packed = drawn(2, 30, 12)
    view = packed[..., 4:8]
    for seen, copied in zip(moments(view, [view]), moments(view.clone(), [view]), strict=True):
        assert torch.equal(seen, copied)
