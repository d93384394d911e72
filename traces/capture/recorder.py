"""Hears what a program does, from hooks and interceptor, and puts it on the timeline."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from types import TracebackType
from typing import Any

import torch

from traces.capture.intercept import Pending
from traces.capture.steps import Steps
from traces.capture.timeline import Draft, Timeline, Visit
from traces.capture.writer import Writer
from traces.operation import Operation


class Recorder:
    """Of the thread that it is made in; what others do is not recorded.

    Its methods are what hooks and interceptor tell. None raises: what goes wrong ends the
    recording, not the program.
    """

    def __init__(self, timeline: Timeline, steps: Steps, writer: Writer) -> None:
        self.pending = Pending()
        self.ended = False
        self.whole = True  # the step so far: the denoiser has come to its end
        self._timeline = timeline
        self._steps = steps
        self._writer = writer
        self._guard = _Guard(writer)
        self._thread = threading.get_ident()
        self._forwards = 0  # of this step

    def listens(self) -> bool:
        """Whether what this thread does now is recorded."""
        return not self._writer.stopped and not self.ended and threading.get_ident() == self._thread

    def forward(self, args: tuple[Any, ...], kwargs: Mapping[str, Any]) -> None:
        """The denoiser is called with these."""
        with self._guard:
            begins = self._steps.begins(args, kwargs)
            self._forwards = 1 if begins else self._forwards + 1
            self.whole = False
            if begins:
                self.step_done()
                self._timeline.step += 1

    def end(self) -> None:
        """The program has left the recording; a step that it broke off is left out."""
        with self._guard:
            if not self.whole:
                self._timeline.forget()
            self.step_done()
        self.ended = True

    def forward_done(self, *, raised: bool) -> None:
        """It is done, or it raised."""
        self.whole = not raised

    def step_done(self) -> None:
        """Write the step that went on; rows from before the first wait for it."""
        if self._timeline.step >= 0 and self._timeline.drafts:
            self._writer.step_done(self._timeline.step, self._timeline.take_step())

    def enter(self, visit: Visit) -> None:
        """A module is called."""
        with self._guard:
            self._see_ends()
            self._timeline.enter(visit)

    def leave(self) -> Visit | None:
        """The innermost one is done; None where it was called before the recording began."""
        with self._guard:
            self._see_ends()
            return self._timeline.leave()
        return None

    def attended(self) -> None:
        """An attention of the innermost module is called."""
        if self._timeline.visits:
            self._timeline.visits[-1].attended = True

    def take(self, name: str, layer: int, tensor: torch.Tensor) -> None:
        """An activation; those of a step's further forwards have names of their own."""
        with self._guard:
            numbered = name if self._forwards == 1 else f"{name}.{self._forwards}"
            self._writer.take(numbered, layer, tensor)

    def launch(self) -> None:
        """The program is about to ask for transfers."""
        with self._guard:
            self._timeline.launch()

    def launched(self, read: Callable[[], list[Operation]]) -> list[Draft]:
        """It has asked for what `read` gives."""
        with self._guard:
            return self._timeline.launched(read())
        return []

    def wait(self) -> None:
        """It is about to wait."""
        with self._guard:
            self._see_ends()
            self._timeline.wait()

    def waited(self, transfers: list[Draft]) -> None:
        """It has waited for these."""
        with self._guard:
            self._timeline.waited(transfers)

    def _see_ends(self) -> None:
        """Of transfers that have completed by themselves since somebody last looked."""
        if self._timeline.clock.host:
            for draft in self.pending.done():
                draft.ended = self._timeline.clock.mark()


class _Guard:
    """What goes wrong inside ends the recording, and goes no further."""

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def __enter__(self) -> None:
        """Nothing to do."""

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> bool:
        """Whether it was an error that a program should not see."""
        if not isinstance(error, Exception):
            return False
        self._writer.stop(error)
        return True
