"""What a result comes to in a sentence, for lists of results."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray


def sentence(
    text: str, values: ArrayLike, of: Callable[[NDArray[np.float64]], np.floating] = np.mean
) -> str:
    """`text` with its one place filled by the mean of the known values, or what `of` gives.

    "" where there is none.
    """
    numbers = np.asarray(values, np.float64)
    known = numbers[np.isfinite(numbers)]
    return text.format(float(of(known))) if known.size else ""
