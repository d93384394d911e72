"""Puts steps on disk as they are done; gives up, once and for all, where that fails."""

from __future__ import annotations

import json
import math
import sys
from collections import deque
from pathlib import Path
from typing import TYPE_CHECKING

from traces.capture.timeline import Draft, settle
from traces.clocks import RankClock
from traces.errors import ThinwireError
from traces.files import writing
from traces.reading import CLOCK, NOTE
from traces.store import PartWriter

if TYPE_CHECKING:
    import torch

    from traces.capture.activations import Activations, Sink
    from traces.capture.clock import Clock

#: Room for a note, taken while there is some: a full disk must not keep it from being written.
_NOTE_BYTES = 1024


class Writer:
    """One rank's part of the trace in `folder`, and what becomes of its activations.

    Nothing but making one raises: a failure is told once, on stderr and in the trace, and nothing
    more is recorded then (`stopped`).
    """

    def __init__(
        self, folder: Path, rank: int, clock: Clock, activations: Activations | None
    ) -> None:
        """Raises InputError or RunError where nothing can be written."""
        self.clock = clock
        self.part = PartWriter(folder, rank)
        self.stopped = False
        self.steps = 0  # that are on disk
        self._waiting: deque[tuple[int, list[Draft]]] = deque()  # steps the device is yet to do
        self._open: list[Draft] = []  # transfers on disk without an end
        self._cursor_s = 0.0
        self._note = self.part.folder / NOTE
        with writing(self._note):
            self._note.write_bytes(b" " * _NOTE_BYTES)
        self._sink: Sink | None = activations.sink(self.part.folder, rank) if activations else None

    def clocks(self, clock: RankClock) -> None:
        """What is known of this rank's clock, in place of what was."""
        try:
            (self.part.folder / CLOCK).write_text(json.dumps(clock.to_json()) + "\n")
        except OSError as error:
            self.stop(error)

    def take(self, name: str, layer: int, tensor: torch.Tensor) -> None:
        """An activation of the step that goes on."""
        if self._sink is not None and not self.stopped:
            self._sink.take(name, layer, tensor)

    def step_done(self, step: int, drafts: list[Draft]) -> None:
        """All rows of a step, which goes to disk as soon as the device has done it."""
        if self.stopped:
            return
        try:
            if self._sink is not None:
                self._sink.step_done(step)
            self._waiting.append((step, drafts))
            self._write()
        # Whatever it is, it must not end the program that is recorded.
        except Exception as error:  # noqa: BLE001
            self.stop(error)

    def close(self) -> None:
        """Put what is done on disk, and turn it into a table."""
        if self.stopped:
            self._close_sink()
            return
        try:
            self.clock.drain()
            self._write()
            self._close_sink()
            self._write_ends()
            self.part.close()
            if not self._note.read_bytes().strip():
                self._note.unlink()
        except Exception as error:  # as above  # noqa: BLE001
            self.stop(error)

    def _close_sink(self) -> None:
        if self._sink is None:
            return
        self._sink.close()
        if self._sink.error is not None:
            self.note(f"activations were no longer taken: {self._sink.error}")

    def stop(self, error: BaseException) -> None:
        """Record nothing more, and say why."""
        if self.stopped:
            return
        self.stopped = True
        reason = str(error) if isinstance(error, ThinwireError) else repr(error)
        self.note(f"recording stopped after {self.steps} steps: {reason}")
        sys.stderr.write(
            f"thinwire: recording stopped; the program goes on. {reason}\n"
            f"thinwire: the {self.steps} steps before are in {self.part.folder.parent}\n"
        )

    def note(self, sentence: str) -> None:
        """Leave it in the trace, where it becomes one of its problems."""
        try:
            with self._note.open("r+b") as file:  # in place: the room is there
                file.write(sentence.encode()[:_NOTE_BYTES].ljust(_NOTE_BYTES))
        except OSError:
            pass  # the recording is not closed either, which says as much

    def _write(self) -> None:
        while self._waiting:
            step, drafts = self._waiting[0]
            cursor_s = settle(drafts, self.clock, self._cursor_s)
            if cursor_s is None:
                return
            self._cursor_s = cursor_s
            self._waiting.popleft()
            self._write_ends()
            self.part.step_done(step, [draft.row for draft in drafts], {})
            self.steps = step + 1
            self._open += [draft for draft in drafts if math.isnan(draft.row.end_s)]
            self.clock.step_done()

    def _write_ends(self) -> None:
        """Of transfers that have ended since their row was written."""
        still = []
        for draft in self._open:
            seconds = None if draft.ended is None else self.clock.read(draft.ended)
            if seconds is None:
                still.append(draft)
            else:
                self.part.end(draft.row.seq, max(seconds, draft.row.start_s))
        self._open = still
