"""How alike two pictures are, pixel by pixel and as the eye sees it.

Shapes: N pairs of pictures (N, H, W), of bytes or of numbers on the bytes' scale.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.ndimage import gaussian_filter

from traces.errors import InputError

#: The largest value of a pixel.
_PEAK = 255.0
#: Deviation and reach of the window, in pixels: 11 across (Wang et al. 2004, section III.B).
_SIGMA_PX, _RADIUS_PX = 1.5, 5
#: What keeps the two ratios finite where a picture is black or flat.
_C1, _C2 = (0.01 * _PEAK) ** 2, (0.03 * _PEAK) ** 2

_Pictures = NDArray[np.float64]


def psnr_db(one: ArrayLike, other: ArrayLike) -> NDArray[np.float64]:
    """Peak signal-to-noise ratio of each pair, in dB; infinite for equal pictures, (N,).

    Raises InputError for pictures that do not pair up or are not finite.
    """
    left, right = _pairs(one, other)
    error = np.square(left - right).mean(axis=(1, 2))
    with np.errstate(divide="ignore"):
        ratio: NDArray[np.float64] = 10 * np.log10(_PEAK**2 / error)
    return ratio


def ssim(one: ArrayLike, other: ArrayLike) -> NDArray[np.float64]:
    """Structural similarity of each pair, 1 for equal pictures (Wang et al. 2004), (N,).

    The mean over all places where the whole window lies inside. Raises InputError as `psnr_db`
    does, and for pictures that are smaller than the window.
    """
    left, right = _pairs(one, other)
    if min(left.shape[1:]) <= 2 * _RADIUS_PX:
        raise InputError(
            f"SSIM: pictures are {left.shape[1]} x {left.shape[2]}, expected "
            f"{2 * _RADIUS_PX + 1} or more either way"
        )
    a, b = _window(left), _window(right)
    var_a, var_b = _window(left**2) - a**2, _window(right**2) - b**2
    both = _window(left * right) - a * b
    light = (2 * a * b + _C1) / (a**2 + b**2 + _C1)
    structure = (2 * both + _C2) / (var_a + var_b + _C2)
    index: NDArray[np.float64] = (light * structure).mean(axis=(1, 2))
    return index


def _window(images: _Pictures) -> _Pictures:
    """The weighted mean around each place that has the whole window in the picture."""
    inside = slice(_RADIUS_PX, -_RADIUS_PX)
    smooth: _Pictures = gaussian_filter(images, _SIGMA_PX, radius=_RADIUS_PX, axes=(1, 2))
    return smooth[:, inside, inside]


def _pairs(one: ArrayLike, other: ArrayLike) -> tuple[_Pictures, _Pictures]:
    left, right = (np.asarray(images, dtype=np.float64) for images in (one, other))
    if left.shape != right.shape or left.ndim != 3:
        raise InputError(
            f"pictures to compare are {left.shape} and {right.shape}, expected (N, H, W) twice"
        )
    for name, images in (("first", left), ("second", right)):
        if not np.isfinite(images).all():
            raise InputError(f"pictures to compare: some of the {name} are not finite")
    return left, right
