"""Which activations a capture takes, and in what form: whole, or reduced while the program runs."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, runtime_checkable

from traces.errors import InputError, unknown

if TYPE_CHECKING:
    import torch

#: Of whole tensors, what may wait for the disk.
QUEUE_BYTES = 512 << 20


@runtime_checkable
class Sink(Protocol):
    """Where one rank's activations go; made by a description such as `Sketched`.

    Attributes:
        names: what to take.
        error: None, or why it stopped. It never raises: a failure is warned of once, and then
            nothing more is taken.
        report: a sentence on what was written, and how long the program waited for that.
    """

    names: tuple[str, ...]

    @property
    def error(self) -> Exception | None:
        """Why it stopped; None while all is well."""
        ...

    @property
    def report(self) -> str:
        """What was written, and how long the program waited for that."""
        ...

    def take(self, name: str, layer: int, tensor: torch.Tensor) -> None:
        """One of the step's tensors; the caller may change it afterwards.

        (images, tokens, channels), or (images, heads, tokens, channels of a head). What comes a
        second time in a step, as with guidance in two passes, is kept as "name.2".
        """
        ...

    def step_done(self, step: int) -> None:
        """All taken since the last call were of this step; steps rise."""
        ...

    def close(self) -> None:
        """Wait until all finished steps are on disk; what is unfinished is left out."""
        ...


class Activations(Protocol):
    """A description of what to take; `capture(model, activations=...)` makes each rank's sink."""

    @property
    def names(self) -> tuple[str, ...]:
        """Such as "k", "v" and "hidden"."""
        ...

    def sink(self, folder: Path, rank: int) -> Sink:
        """For a rank's folder of a trace, `out/rank-3`, which is there."""
        ...


@dataclass(frozen=True)
class FullTensors:
    """Every number, as safetensors files of a step each, written in the background.

    Attributes:
        names: what to take.
        queue_bytes: of tensors that wait for the disk; when it is full, the program waits. Memory
            beyond the program's own is at most that and one tensor.
    """

    names: tuple[str, ...]
    queue_bytes: int = QUEUE_BYTES

    def __post_init__(self) -> None:
        """Raises InputError for names or a queue that make no sense."""
        _check_names(self.names)
        if self.queue_bytes < 1:
            raise InputError(f"queue_bytes is {self.queue_bytes}: expected 1 or more")

    def sink(self, folder: Path, rank: int) -> Sink:
        """See Activations."""
        from traces.capture.whole import WholeSink

        return WholeSink(self, folder, rank)


@dataclass(frozen=True)
class Sketched:
    """Norms, second moments and a small random projection of each tensor, made on its device.

    The projections of all steps give the cosine of any two: see `traces.reduced`.

    Attributes:
        names: what to take.
        lags: also exact norms of x_t - x_(t-d), for d of 1 to this. Holds so many steps' tensors
            on the device.
        error: of a cosine, at most, for 95 of 100 pairs of steps.
        seed: of the projection; all ranks and steps need the same.
    """

    names: tuple[str, ...]
    lags: int = 0
    error: float = 0.02
    seed: int = 0

    def __post_init__(self) -> None:
        """Raises InputError for values that make no sense."""
        _check_names(self.names)
        if "chosen" in self.names:
            raise InputError("chosen: numbers of experts have no directions; take them whole")
        if not 0 <= self.lags <= 16:
            raise InputError(f"lags is {self.lags}: expected 0 to 16 steps")
        if not (math.isfinite(self.error) and 0.005 <= self.error <= 0.5):
            raise InputError(f"error is {self.error}: expected 0.005 to 0.5, of a cosine")
        if not 0 <= self.seed < 2**63:
            raise InputError(f"seed is {self.seed}: expected 0 or more, below 2^63")

    def sink(self, folder: Path, rank: int) -> Sink:
        """See Activations."""
        from traces.capture.sketched import SketchSink

        return SketchSink(self, folder, rank)


def parse(text: str) -> FullTensors | Sketched:
    """Of a command line: "k,v,hidden", "k,v:full" or "hidden:sketch,lags=2,error=0.01,seed=3".

    Raises InputError for anything else.
    """
    names, _, form = text.partition(":")
    kept = tuple(part.strip() for part in names.split(","))
    mode, *settings = [part.strip() for part in (form or "full").split(",")]
    if mode not in {"full", "sketch"}:
        raise unknown("form of activations", mode, ("full", "sketch"))
    if mode == "full":
        if settings:
            raise InputError(f"{text!r}: full takes no settings, such as {settings[0]!r}")
        return FullTensors(kept)
    return Sketched(kept, **_settings(text, settings))


_SETTINGS = {"lags": int, "error": float, "seed": int}


def _settings(text: str, settings: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for setting in settings:
        key, _, value = setting.partition("=")
        if key not in _SETTINGS:
            raise unknown(f"setting in {text!r}:", key, _SETTINGS)
        try:
            found[key] = _SETTINGS[key](value)
        except ValueError as error:
            raise InputError(f"{text!r}: {key} is {value!r}; expected a number") from error
    return found


def _check_names(names: tuple[str, ...]) -> None:
    if not names or not all(name and name == name.strip() for name in names):
        raise InputError(f"activations {','.join(names)!r}: expected names such as k,v,hidden")
    if len(set(names)) < len(names):
        raise InputError(f"activations {','.join(names)!r}: a name is given twice")
