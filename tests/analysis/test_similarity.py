"""PSNR and SSIM: worked out by hand, against a slow reference, and what makes none."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from analysis.quality.similarity import psnr_db, ssim
from traces.errors import InputError

Array = NDArray[np.float64]
Measure = Callable[..., Array]


def pictures(seed: int, count: int = 3, side: int = 28) -> NDArray[np.uint8]:
    """Bytes without a pattern."""
    return np.random.default_rng(seed).integers(0, 256, (count, side, side), dtype=np.uint8)


def slowly(one: Array, other: Array) -> float:
    """Wang et al. 2004, equation 13, window by window, as it is written there."""
    offsets = np.arange(-5, 6)
    weights = np.exp(-(offsets[:, None] ** 2 + offsets[None, :] ** 2) / (2 * 1.5**2))
    weights /= weights.sum()
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    found = []
    for down in range(one.shape[0] - 10):
        for across in range(one.shape[1] - 10):
            x, y = (a[down : down + 11, across : across + 11] for a in (one, other))
            mx, my = (weights * x).sum(), (weights * y).sum()
            vx, vy = (weights * (x - mx) ** 2).sum(), (weights * (y - my) ** 2).sum()
            both = (weights * (x - mx) * (y - my)).sum()
            light = (2 * mx * my + c1) / (mx**2 + my**2 + c1)
            found.append(light * (2 * both + c2) / (vx + vy + c2))
    return float(np.mean(found))


def test_ssim_is_the_papers_window_by_window() -> None:
    """Each pair by itself, and the same from either side."""
    one, other = pictures(0), pictures(1) // 2 + pictures(0) // 2
    expected = [slowly(a.astype(float), b.astype(float)) for a, b in zip(one, other, strict=True)]
    assert ssim(one, other) == pytest.approx(expected, rel=1e-9)
    assert ssim(other, one) == pytest.approx(expected, rel=1e-9)


def test_ssim_is_what_scikit_image_finds() -> None:
    """With a Gaussian window and the covariance of a population, as in the paper."""
    metrics = pytest.importorskip("skimage.metrics")
    one, other = pictures(2), pictures(3) // 2 + pictures(2) // 2
    expected = [
        metrics.structural_similarity(
            a, b, gaussian_weights=True, sigma=1.5, use_sample_covariance=False, data_range=255
        )
        for a, b in zip(one, other, strict=True)
    ]
    assert ssim(one, other) == pytest.approx(expected)


def test_equal_pictures_are_alike() -> None:
    """SSIM is 1 and PSNR infinite, for pictures of one colour too."""
    same = np.stack([*pictures(4), np.zeros((28, 28), np.uint8), np.full((28, 28), 255, np.uint8)])
    assert ssim(same, same) == pytest.approx(np.ones(5))
    assert np.isposinf(psnr_db(same, same)).all()


def test_psnr_is_of_each_pair_by_itself() -> None:
    """One off everywhere: 20 log10 255. One pixel off by one: 10 log10 of 784 more."""
    black = np.zeros((3, 28, 28), np.uint8)
    other = black.copy()
    other[0] += 1
    other[1, 5, 5] = 1
    everywhere = 20 * math.log10(255)
    expected = [everywhere, everywhere + 10 * math.log10(784), math.inf]
    assert psnr_db(black, other) == pytest.approx(expected)


def test_bytes_do_not_wrap_around() -> None:
    """White on black is at 0 dB, from either side."""
    black, white = np.zeros((1, 28, 28), np.uint8), np.full((1, 28, 28), 255, np.uint8)
    assert psnr_db(black, white) == pytest.approx([0.0])
    assert psnr_db(white, black) == pytest.approx([0.0])


def test_flat_pictures_differ_by_their_light_alone() -> None:
    """(2 a b + C1) / (a^2 + b^2 + C1), for the variances are 0."""
    one, other = np.full((1, 28, 28), 100.0), np.full((1, 28, 28), 50.0)
    c1 = 2.55**2
    expected = (2 * 100 * 50 + c1) / (100**2 + 50**2 + c1)
    assert ssim(one, other) == pytest.approx([expected])


@pytest.mark.parametrize("measure", [psnr_db, ssim])
def test_what_cannot_be_compared_is_refused(measure: Measure) -> None:
    """Saying which shapes there are, and on which side numbers are not finite."""
    with pytest.raises(InputError, match=r"\(3, 28, 28\) and \(2, 28, 28\), expected \(N, H, W\)"):
        measure(pictures(5), pictures(5, count=2))
    broken = pictures(5).astype(float)
    broken[0, 0, 0] = math.nan
    with pytest.raises(InputError, match="some of the second are not finite"):
        measure(pictures(5), broken)


def test_a_picture_smaller_than_the_window_is_refused() -> None:
    """11 pixels are enough."""
    with pytest.raises(InputError, match="pictures are 10 x 10, expected 11 or more either way"):
        ssim(pictures(6, side=10), pictures(6, side=10))
    assert ssim(pictures(6, side=11), pictures(6, side=11)) == pytest.approx(np.ones(3))
