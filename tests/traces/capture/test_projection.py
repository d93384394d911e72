"""The projection is the one that is written down, and keeps inner products as well as it says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from traces.capture.projection import ROWS, SLAB, Projection, buckets


def plainly(x: torch.Tensor, seed: int, m: int) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Number by number, from the text in docs/traces.md."""

    def drawn(stream: int, count: int) -> list[int]:
        generator = np.random.Philox(key=np.array([seed, stream], np.uint64))
        return [int(word) for word in generator.random_raw(count)]

    words, turns = drawn(0, len(x) // 64 + 1), drawn(1, len(x) // (ROWS * m) + 1)
    found = np.zeros(m)
    for place, value in enumerate(x.tolist()):
        sign = -1 if words[place // 64] >> (place % 64) & 1 else 1
        found[(place % m + turns[place // (m * ROWS)] % m) % m] += sign * value
    return found


@pytest.mark.parametrize("count", [18, 100, 17 * ROWS, 17 * ROWS + 1, 1234, 17 * ROWS * 9 + 40])
@pytest.mark.parametrize("seed", [0, 2**40 + 7])
def test_it_is_the_documented_one(count: int, seed: int) -> None:
    """With whole and cut groups and rows."""
    x = torch.randn(count, generator=torch.Generator().manual_seed(count))
    found = Projection(seed, 17)(x)
    np.testing.assert_allclose(found.numpy(), plainly(x, seed, 17), atol=1e-4)


def test_slabs_do_not_show() -> None:
    """A tensor of several is projected as by the plain loop."""
    x = torch.randn(SLAB["cpu"] + 5000, generator=torch.Generator().manual_seed(0))
    np.testing.assert_allclose(Projection(1, 101)(x).numpy(), plainly(x, 1, 101), atol=2e-3)


def test_what_is_smaller_is_given_as_it_is() -> None:
    """In a copy, as the program may change it."""
    x = torch.arange(5.0)
    found = Projection(0, 17)(x)
    x += 1
    assert found.tolist() == [0, 1, 2, 3, 4]


def test_longer_tensors_after_shorter_ones_are_projected_alike() -> None:
    """Tables of signs and turns grow."""
    x = torch.randn(5000, generator=torch.Generator().manual_seed(0))
    grown = Projection(3, 17)
    grown(x[:40])
    assert torch.equal(grown(x), Projection(3, 17)(x))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_numbers_are_added_up_in_float32(dtype: torch.dtype) -> None:
    """Not in their own precision."""
    x = torch.randn(20000, generator=torch.Generator().manual_seed(0)).to(dtype)
    found = Projection(0, 17)(x)
    assert found.dtype == torch.float32
    assert torch.equal(found, Projection(0, 17)(x.float()))


def test_buckets_are_a_prime_that_is_enough() -> None:
    """Two standard errors, of 1 / sqrt(m) each, are the error."""
    assert buckets(0.02) == 10007
    for error in (0.005, 0.03, 0.5):
        m = buckets(error)
        assert 2 / m**0.5 <= error * 1.01
        assert all(m % d for d in range(2, m) if d * d <= m)
