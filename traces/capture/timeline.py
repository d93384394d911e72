"""One rank's main thread, cut at every boundary into what it computed and what it waited for."""

from __future__ import annotations

import math
from dataclasses import dataclass

from traces.capture.clock import Clock, Mark
from traces.operation import Operation


@dataclass(slots=True, eq=False)
class Visit:
    """A tracked module while it runs."""

    name: str
    layer: int
    attended: bool = False  # an attention inside it was called


@dataclass(slots=True, eq=False)
class Draft:
    """A row, whose times are marks until they are read."""

    row: Operation
    began: Mark
    ended: Mark | None
    visit: Visit | None = None  # whose name it takes when that is final


class Timeline:
    """Rows in program order.

    Time inside tracked modules is compute, of the innermost one. Time outside all of them, and
    what a launch takes of the host, is the gap before the next row (`host_s`).
    """

    def __init__(self, rank: int, clock: Clock) -> None:
        self.rank = rank
        self.clock = clock
        self.step = -1
        self.drafts: list[Draft] = []  # of the step that goes on
        self.visits: list[Visit] = []
        self._seq = 0
        self._cursor: Mark = clock.mark()
        self._launched = False  # by the last thing that happened

    def enter(self, visit: Visit) -> None:
        """A tracked module is called."""
        self._cut(self.clock.mark())
        self.visits.append(visit)

    def leave(self) -> Visit:
        """The innermost tracked module is done, well or not."""
        self._cut(self.clock.mark())
        return self.visits.pop()

    def launch(self) -> None:
        """Transfers are about to be asked for."""
        self._cut(self.clock.mark())

    def launched(self, transfers: list[Operation]) -> list[Draft]:
        """They were, since `launch`. Gives their rows, which are yet to end."""
        visit = self.visits[-1] if self.visits else None
        began = self._cursor  # after `launch` where that had to wait for something else
        drafts = []
        for row in transfers:
            row.name = visit.name if visit else "outside"
            drafts.append(self._append(row, began, None))
        self._cursor = self.clock.after(began)
        self._launched = bool(drafts)
        return drafts

    def wait(self) -> None:
        """The program is about to wait for transfers."""
        # What a GPU's stream does right after a launch is to wait for it.
        if not self._launched or self.clock.host:
            self._cut(self.clock.mark())

    def waited(self, transfers: list[Draft]) -> None:
        """It has, since `wait`, for all of these."""
        began, now = self._cursor, self.clock.mark()
        for transfer in transfers:
            row = self._row("wait", transfer.row.name)
            row.waits_for = transfer.row.seq
            self._append(row, began, now)
            began = now
            if transfer.ended is None:
                transfer.ended = now
        self._cursor = now
        self._launched = False

    def take_step(self) -> list[Draft]:
        """The rows since the last call, leaving none; a row that is cut here goes on after."""
        self._cut(self.clock.mark())
        taken, self.drafts = self.drafts, []
        return taken

    def forget(self) -> None:
        """Leave out the rows of the step that goes on."""
        if self.drafts:
            self._seq = self.drafts[0].row.seq
        self.drafts = []

    def _cut(self, mark: Mark) -> None:
        """What has gone on since the last boundary ends here."""
        self._launched = False
        if self.visits and mark is not self._cursor:
            visit = self.visits[-1]
            self._append(self._row("compute", visit.name), self._cursor, mark, visit)
        self._cursor = mark

    def _row(self, kind: str, name: str) -> Operation:
        return Operation(self.rank, 0, "compute", kind, name, 0, 0, math.nan)

    def _append(
        self, row: Operation, began: Mark, ended: Mark | None, visit: Visit | None = None
    ) -> Draft:
        row.seq, row.step = self._seq, self.step
        row.layer = self.visits[-1].layer if self.visits else -1
        self._seq += 1
        draft = Draft(row, began, ended, visit)
        self.drafts.append(draft)
        return draft


def settle(drafts: list[Draft], clock: Clock, cursor_s: float) -> float | None:
    """Read the rows' times and the gaps between them; the last row before ended at `cursor_s`.

    Transfers that have not ended keep NaN. Gives where the last row ends; None, and nothing is
    changed, while something else of it is yet to happen on the device.
    """
    times = [(clock.read(draft.began), _end(draft, clock)) for draft in drafts]
    if any(began is None or end is None for began, end in times):
        return None
    for draft, (began, ended) in zip(drafts, times, strict=True):
        assert began is not None
        assert ended is not None
        row = draft.row
        row.start_s = max(began, 0.0)
        row.end_s = ended if math.isnan(ended) else max(ended, row.start_s)
        row.host_s = max(0.0, row.start_s - cursor_s)
        cursor_s = row.end_s if row.stream == "compute" else row.start_s
        if row.kind == "compute":
            row.cost_s = row.end_s - row.start_s
        if draft.visit is not None:
            row.name = draft.visit.name
    return cursor_s


def _end(draft: Draft, clock: Clock) -> float | None:
    """NaN for a transfer that was not seen to end."""
    if draft.ended is None:
        return math.nan
    seconds = clock.read(draft.ended)
    return math.nan if seconds is None and draft.row.stream != "compute" else seconds
