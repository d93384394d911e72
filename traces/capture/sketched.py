"""Tensors reduced on their device while the program runs: norms, moments and sketches of each."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.numpy import save

from traces.capture.moments import Moments, moments
from traces.capture.projection import Projection, buckets
from traces.capture.spool import Keys, Spool
from traces.errors import InputError
from traces.files import replacing
from traces.reading import reduced_name
from traces.reduced_file import FIXED, Settings
from traces.units import format_bytes

if TYPE_CHECKING:
    from traces.capture.activations import Sketched

#: Of reduced tensors that wait for the disk.
QUEUE_BYTES = 256 << 20
#: Numbers of reduced tensors that are given room together: 4 MiB.
_ROOM = 1 << 20


@dataclass(frozen=True)
class _Reduced:
    """Of one tensor; on its device, float32."""

    sketch: torch.Tensor
    moments: Moments
    earlier: tuple[int, ...]  # steps that `moments.changes` are since

    @property
    def nbytes(self) -> int:
        return sum(each.nbytes for each in (self.sketch, *self.moments))


class _Room:
    """Small results that stay for a while, side by side.

    Each in a place of its own, they would lie between the large ones that come and go while
    tensors are reduced, and leave holes in memory that nothing fits in: a gigabyte in two steps.
    """

    def __init__(self) -> None:
        self._free: dict[torch.device, torch.Tensor] = {}

    def __call__(self, arrays: Sequence[torch.Tensor]) -> tuple[torch.Tensor, ...]:
        sizes, device = [len(each) for each in arrays], arrays[0].device
        free = self._free.get(device)
        if free is None or len(free) < sum(sizes):
            free = torch.empty(max(_ROOM, sum(sizes)), device=device)
        taken, self._free[device] = free.split([sum(sizes), len(free) - sum(sizes)])
        torch.cat([each.float() for each in arrays], out=taken)
        split: tuple[torch.Tensor, ...] = taken.split(sizes)
        return split


class SketchSink:
    """See `traces.capture.activations.Sink`. A step's file is there when its last tensor is.

    On the device: the tensors of `lags` steps; a byte for each number of the largest tensor, and
    half as much again; for a step, what goes to disk of it, in float32. On the host: the same of
    the steps that wait, at most QUEUE_BYTES, and each tensor's last sketch.
    """

    def __init__(self, what: Sketched, folder: Path, rank: int) -> None:
        self.names = what.names
        self.lags = what.lags
        self.spool = Spool(f"rank {rank}, {folder}", QUEUE_BYTES)
        self._project = Projection(what.seed, buckets(what.error))
        settings = Settings(self._project.buckets, what.lags, what.seed, what.error)
        self._writer = _Writer(folder, settings)
        self._keys = Keys()
        self._room = _Room()
        self._shapes: dict[str, torch.Size] = {}
        self._taken: dict[str, _Reduced] = {}
        self._now: dict[str, torch.Tensor] = {}
        self._earlier: dict[str, list[tuple[int, torch.Tensor]]] = {}  # the latest first

    @property
    def error(self) -> Exception | None:
        """Why it stopped; None while all is well."""
        return self.spool.error

    @property
    def report(self) -> str:
        """What was written, and how long the program waited for that."""
        of, writer = format_bytes(self._writer.read_bytes), self._writer
        written = f"{format_bytes(writer.nbytes)} for {of} of activations in {writer.steps} steps"
        return f"{written}; {self.spool.report}"

    def take(self, name: str, layer: int, tensor: torch.Tensor) -> None:
        """See Sink. Reduced at once, on the tensor's device."""
        if self.error is not None:
            return
        # What is made in inference mode could not be used again outside of it.
        with self.spool.guarding(), torch.inference_mode(mode=False), torch.no_grad():
            key = self._keys.next(name, layer)
            x = tensor.detach()
            self._check(key, x)
            earlier = self._earlier.get(key, [])
            found = moments(x, [before for _, before in earlier])
            sketch, *parts = self._room([self._project(x.reshape(-1)), *found])
            since = tuple(step for step, _ in earlier)
            self._taken[key] = _Reduced(sketch, Moments(*parts), since)
            self._writer.read_bytes += x.nbytes
            if self.lags:
                self._now[key] = x.clone()

    def step_done(self, step: int) -> None:
        """See Sink."""
        self._keys.step_done()
        for key, x in self._now.items():
            self._earlier[key] = [(step, x), *self._earlier.get(key, [])][: self.lags]
        taken, self._taken, self._now = self._taken, {}, {}
        if taken:
            ready = _mark(next(iter(taken.values())).sketch.device)
            nbytes = sum(each.nbytes for each in taken.values())
            self.spool.put(nbytes, lambda: self._writer(step, taken, ready))

    def close(self) -> None:
        """See Sink."""
        self.spool.close()
        self._earlier.clear()

    def _check(self, key: str, x: torch.Tensor) -> None:
        if not x.is_floating_point() or not x.numel():
            raise InputError(
                f"{key} is {tuple(x.shape)} of {x.dtype}; only floating-point tensors that have "
                "numbers are sketched: take others whole"
            )
        if self._shapes.setdefault(key, x.shape) != x.shape:
            raise InputError(
                f"{key} is {tuple(x.shape)} and was {tuple(self._shapes[key])} in an earlier step: "
                "such tensors are not compared; take them whole, or one run after the other"
            )


def _mark(device: torch.device) -> torch.cuda.Event | None:
    """When the device has done what it was told so far; None where it has."""
    if device.type != "cuda":
        return None
    event = torch.cuda.Event()
    event.record(torch.cuda.current_stream(device))
    return event


class _Writer:
    """Makes a step's file of what was reduced; in the spool's thread."""

    def __init__(self, folder: Path, settings: Settings) -> None:
        self.folder = folder
        self.settings = settings
        self.steps = self.nbytes = self.read_bytes = 0
        self._before: dict[str, NDArray[np.float32]] = {}
        self._last = -1  # step that has a file

    def __call__(
        self, step: int, taken: Mapping[str, _Reduced], ready: torch.cuda.Event | None
    ) -> None:
        if ready is not None:
            ready.synchronize()
        entries: dict[str, NDArray[Any]] = {}
        for key, found in taken.items():
            for part, array in self._parts(key, step, found).items():
                entries[f"{part}/{key}"] = np.ascontiguousarray(array)
        path = self.folder / reduced_name(step)
        with replacing(path) as temporary:
            temporary.write_bytes(save(entries, self.settings.metadata(step, self._last)))
        self._last = step
        self.steps += 1
        self.nbytes += path.stat().st_size

    def _parts(self, key: str, step: int, found: _Reduced) -> dict[str, NDArray[Any]]:
        """See docs/traces.md, "Reduced activations"."""
        sketch = found.sketch.cpu().numpy()
        token, channel, changes = (each.double().cpu().numpy() for each in found.moments)
        squares = float(token.sum())
        numbers = np.full(FIXED + self.settings.lags, np.nan)
        change = np.zeros(len(sketch), np.float16)
        if np.isfinite(squares) and np.isfinite(sketch).all():
            numbers[0] = squares
            # Sketches are linear: that of the change is known to as many digits as a whole one.
            before = self._before.setdefault(key, np.zeros_like(sketch))
            numbers[1], change = _scaled(sketch - before)
            np.copyto(before, sketch)
        else:
            squares, numbers[1] = math.nan, 0.0
        for since, square in zip(found.earlier, changes, strict=True):
            if step - since <= self.settings.lags and np.isfinite(square):
                numbers[FIXED - 1 + step - since] = square
        return {"change": change, "numbers": numbers} | {
            part: _relative(sums, squares)
            for part, sums in (("token", token), ("channel", channel))
        }


def _scaled(x: NDArray[np.float32]) -> tuple[float, NDArray[np.float16]]:
    """Its root mean square, and it over that."""
    exact = x.astype(np.float64)
    scale = float(np.sqrt(np.square(exact).mean()))
    return scale, (exact / (scale or 1.0)).astype(np.float16)


def _relative(sums: NDArray[np.float64], squares: float) -> NDArray[np.float16]:
    """Root mean squares of rows, over the whole tensor's; NaN where that is not finite."""
    if math.isnan(squares):
        return np.full(len(sums), np.nan, np.float16)
    return np.sqrt(sums * (len(sums) / (squares or 1.0))).astype(np.float16)
