"""`with capture(model, out="T"):` records what a program does inside."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch.distributed as dist

from traces.capture.clock import clock_for
from traces.capture.discovery import blocks, denoiser, is_compiled, taps
from traces.capture.header import device_of, header
from traces.capture.hooks import Hooks
from traces.capture.intercept import Interceptor
from traces.capture.recorder import Recorder
from traces.capture.steps import Steps, scheduler_told
from traces.capture.timeline import Timeline
from traces.capture.together import Team
from traces.capture.writer import Writer
from traces.errors import InputError

if TYPE_CHECKING:
    from traces.capture.activations import Activations

#: Left by a program that is done, and no sign that something went wrong.
_DONE = (None, 0)


@contextmanager
def capture(
    subject: Any,
    out: str | PathLike[str],
    *,
    activations: Sequence[str] | Activations | None = None,
    overwrite: bool = False,
) -> Iterator[Recording]:
    """Record what this process does inside the `with`, as its rank's part of the trace `out`.

    All ranks of torch.distributed do this together; what it began with is restored at the end,
    also after an exception.

    Args:
        subject: a torch module that denoises, or a pipeline with one (`transformer` or `unet`).
        out: the trace's folder.
        activations: names out of k, v, hidden, chosen and scores, whose whole tensors are kept; or
            a FullTensors or Sketched, which says what becomes of them.
        overwrite: replace a trace that is there.

    Raises:
        InputError: for a subject without a denoiser, an activation that the model does not have,
            or a place that cannot be written.
        RunError: where the other ranks do not come, or the disk is full already.

    Once it has begun nothing is raised: a recording that fails stops, says so once, and leaves
    the program alone.
    """
    recording = Recording(subject, Path(out), activations, overwrite=overwrite)
    with recording.going_on():
        yield recording


class Recording:
    """One rank's recording.

    Attributes:
        path: the trace's folder.
        rank: of torch.distributed, and of so many `ranks`; 0 of 1 without.
    """

    def __init__(
        self,
        subject: Any,
        path: Path,
        activations: Sequence[str] | Activations | None,
        *,
        overwrite: bool,
    ) -> None:
        """Begin the trace, together with all ranks; raises as `capture` does."""
        self.path = path
        self.rank, self.ranks = _place()
        self._subject = subject
        self._model = denoiser(subject)
        self._blocks = blocks(self._model)
        chosen = _chosen(activations)
        self._taps = taps(self._blocks, chosen.names) if chosen else []
        self._team = Team(self.rank, self.ranks, _store())
        run = header(self._model, self.ranks)
        self._rank_clock = self._team.begin(path, run, overwrite=overwrite)
        clock = clock_for(device_of(self._model))
        clock.begin(self._team.zero_s)
        self._writer = Writer(path, self.rank, clock, chosen)
        self._writer.clocks(self._rank_clock)
        self._timeline = Timeline(self.rank, clock)
        self._steps = Steps(self._model)
        if is_compiled(self._model) and self.rank == 0:
            _say(
                f"{type(self._model).__name__} is compiled as a whole: of what happens inside, "
                "only the total time is seen. Compile its blocks one by one instead (in diffusers "
                "model.compile_repeated_blocks())"
            )

    @property
    def steps(self) -> int:
        """Denoising steps that are on disk."""
        return self._writer.steps

    def step(self) -> None:
        """Say that the next forward begins a step; from the first time on, nothing else does."""
        self._steps.by_hand()

    @contextmanager
    def going_on(self) -> Iterator[None]:
        """Record for as long as this lasts."""
        recorder = Recorder(self._timeline, self._steps, self._writer)
        with ExitStack() as stack:
            stack.enter_context(scheduler_told(self._subject, self._steps))
            stack.enter_context(Hooks(recorder).hooked(self._model, self._blocks, self._taps))
            stack.enter_context(Interceptor(recorder, self.rank).intercepting())
            try:
                yield
            except BaseException as error:
                if not isinstance(error, SystemExit) or error.code not in _DONE:
                    why = f"{type(error).__name__}: {error}".rstrip(": ")
                    self._writer.note(f"the program ended in step {self._timeline.step}: {why}")
                raise
            finally:
                recorder.end()
                self._close()

    def _close(self) -> None:
        self._writer.clocks(self._team.end(self._rank_clock))
        self._writer.close()
        if self.rank == 0 and not self._writer.stopped:
            _say(self._what_next())

    def _what_next(self) -> str:
        if not self.steps:
            return f"nothing was recorded in {self.path}: no step was completed"
        of = f"{self.steps} steps" if self.ranks == 1 else f"{self.steps} steps of rank 0"
        return (
            f"recorded {of} in {self.path}; now: thinwire show {self.path}; "
            f"thinwire replay {self.path} --network ethernet-1g"
        )


def _say(text: str) -> None:
    """On stderr, as stdout is the program's."""
    sys.stderr.write(f"thinwire: {text}\n")


def _chosen(activations: Sequence[str] | Activations | None) -> Activations | None:
    from traces.capture.activations import FullTensors

    if not activations:
        return None
    if isinstance(activations, str):
        return FullTensors((activations,))
    return FullTensors(tuple(activations)) if isinstance(activations, Sequence) else activations


def _place() -> tuple[int, int]:
    """(rank, ranks). Raises InputError where there are others that this one cannot reach."""
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    ranks = os.environ.get("WORLD_SIZE", "1")
    if ranks not in {"", "1"}:
        raise InputError(
            f"{ranks} processes were started, but this one has not joined the others: call "
            "torch.distributed.init_process_group before the capture begins"
        )
    return 0, 1


def _store() -> Any:
    """That by which the ranks found each other; None without others."""
    if dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1:
        from torch.distributed import distributed_c10d

        return distributed_c10d._get_default_store()  # noqa: SLF001 - there is no public one
    return None
