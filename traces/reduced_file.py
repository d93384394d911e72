"""A step's file of reduced activations: what is in it, and what is refused."""

from __future__ import annotations

import json
import math
import re
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from traces.errors import TraceError

FORMAT = "thinwire-reduced"
VERSION = 1
#: Of each tensor, the arrays in a file, keyed "part/name/layer".
PARTS = {
    "change": np.dtype(np.float16),
    "numbers": np.dtype(np.float64),
    "token": np.dtype(np.float16),
    "channel": np.dtype(np.float16),
}
#: More than any sum of squares that float32 holds.
_MOST_SQUARES = 1e60
#: Of `numbers`, before the squares of changes by lag.
FIXED = 2


def tensor_bytes(tokens: int, channels: int, buckets: int, lags: int = 0) -> int:
    """On disk, of each tensor and step, without some 400 bytes of header."""
    return 2 * (min(tokens * channels, buckets) + tokens + channels) + 8 * (FIXED + lags)


@dataclass(frozen=True)
class Settings:
    """How tensors were reduced; the same in all files of a trace.

    Attributes:
        buckets: numbers of a sketch.
        lags: of exact norms of changes.
        seed: of the projection.
        error: of a cosine, that was asked for.
    """

    buckets: int
    lags: int
    seed: int
    error: float

    def __post_init__(self) -> None:
        """Raises ValueError for what no file has."""
        counts = (self.buckets, self.lags, self.seed)
        if not all(isinstance(each, int) for each in counts) or not isinstance(self.error, float):
            raise ValueError(f"{self} has other types of numbers")
        if self.buckets < 1 or self.lags < 0 or not 0 < self.error < 1:
            raise ValueError(f"{self} is out of range")

    def metadata(self, step: int, after: int) -> dict[str, str]:
        """Of a step's safetensors file; `after`: the step of the file before it, -1 if none."""
        # As one, for safetensors writes several in any order.
        about = {"version": VERSION, "step": step, "after": after, **asdict(self)}
        return {FORMAT: json.dumps(about)}


class Entry(NamedTuple):
    """One tensor of one step.

    Attributes:
        squares: |x|^2; NaN where x was not finite.
        change: (m,), the sketch less that of the last step that was finite.
        lags: (lags,), |x_t - x_(t-d)|^2 for d of 1 and more; NaN where there is no such step.
        token: (N,), root mean square over channels.
        channel: (C,), root mean square over tokens.
    """

    squares: float
    change: NDArray[np.float32]
    lags: NDArray[np.float64]
    token: NDArray[np.float32]
    channel: NDArray[np.float32]


class ReducedFile:
    """Opened; raises TraceError naming the file, at once or later, where it is damaged.

    Attributes:
        settings: with which it was made.
        after: the step of the file before it, whose sketches its changes are since; -1 if none.
    """

    def __init__(self, path: Path, step: int) -> None:
        from safetensors import SafetensorError, safe_open

        self.path = path
        self.step = step
        try:
            opened: Any = safe_open(path, "numpy")
            self._file = opened
        except (SafetensorError, OSError, ValueError) as error:
            raise self._damage(str(error)) from error
        self.settings = self._settings(self._file.metadata() or {}, step)
        self._keys = set(self._file.keys())

    def tensors(self) -> list[tuple[str, int]]:
        """(name, layer) of all that are in it, in order."""
        found = set()
        for key in self._keys:
            part, _, rest = key.partition("/")
            name, _, layer = rest.rpartition("/")
            if part not in PARTS or not name or not re.fullmatch("-?[0-9]{1,9}", layer):
                raise self._damage(f"{key!r}; expected a name like 'change/k/3'")
            found.add((name, int(layer)))
        return sorted(found)

    def entry(self, name: str, layer: int) -> Entry:
        """One of `tensors`."""
        parts = {part: self._array(f"{part}/{name}/{layer}", part) for part in PARTS}
        numbers, token, channel = parts["numbers"], parts["token"], parts["channel"]
        size = len(token) * len(channel)
        lengths = {
            "change": min(size, self.settings.buckets),
            "numbers": FIXED + self.settings.lags,
        }
        for part, length in lengths.items():
            if len(parts[part]) != length or not size:
                there = len(parts[part])
                raise self._damage(f"'{part}/{name}/{layer}' has {there} numbers, not {length}")
        squares, scale = numbers[:FIXED]
        known = numbers[~np.isnan(numbers)]
        if math.isnan(scale) or not ((known >= 0) & (known < _MOST_SQUARES)).all():
            raise self._damage(f"'numbers/{name}/{layer}' are {numbers}; expected 0 or more")
        scaled = [parts["change"], *([] if math.isnan(squares) else [token, channel])]
        if not all(np.isfinite(each).all() for each in scaled):
            raise self._damage(f"of {name}/{layer} some number is not finite")
        unit = np.float32(math.sqrt(squares / size))
        change = parts["change"].astype(np.float32) * np.float32(scale)
        rms = [each.astype(np.float32) * unit for each in (token, channel)]
        return Entry(float(squares), change, numbers[FIXED:], rms[0], rms[1])

    def _array(self, key: str, part: str) -> NDArray[Any]:
        if key not in self._keys:
            raise self._damage(f"there is no {key!r}")
        piece = self._file.get_slice(key)
        shape = piece.get_shape()
        array: NDArray[Any] = self._file.get_tensor(key)
        if len(shape) != 1 or array.dtype != PARTS[part]:
            raise self._damage(f"{key!r} is {array.dtype} of shape {shape}, not {PARTS[part]} (n,)")
        return array

    def _settings(self, metadata: dict[str, str], step: int) -> Settings:
        if FORMAT not in metadata:
            raise self._damage("its metadata do not say that it is of reduced activations")
        try:
            about = json.loads(metadata[FORMAT])
            version, own_step = about.pop("version"), about.pop("step")
            self.after = about.pop("after")
            if version != VERSION:
                raise TraceError(
                    f"{self.path}: is of version {version}; this thinwire reads {VERSION}"
                )
            if own_step != step:
                raise self._damage(f"it is of step {own_step}")
            return Settings(**about)
        except (KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
            raise self._damage(f"its metadata make no sense: {error}") from error

    def _damage(self, reason: str) -> TraceError:
        return TraceError(f"{self.path}: is damaged or no file of reduced activations: {reason}")
