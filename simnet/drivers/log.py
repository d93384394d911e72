"""What one rank has done, as it comes about: every driver writes its rows through this."""

from __future__ import annotations

from simnet.drivers.observer import Observer
from simnet.drivers.parts import check_sizes
from simnet.ops import (
    AllToAll,
    At,
    Compute,
    Group,
    Keep,
    Op,
    Recv,
    Rooted,
    Send,
    Shift,
    Transfer,
    Wait,
    wire_bytes,
)
from simnet.shapes import describe_shape
from traces.columns import ROOTS
from traces.errors import ScheduleError
from traces.operation import Operation


class Log:
    """A rank's operations so far, and where in the run it is."""

    def __init__(self, rank: int, steps: int, observer: Observer) -> None:
        self.rank = rank
        self.steps = steps
        self.observer = observer
        self.step = self.layer = -1
        self.operations: list[Operation] = []
        self._step_began = 0  # the first operation of this step

    def __str__(self) -> str:
        return f"rank {self.rank}, {where(self.step, self.layer)}"

    def at(self, op: At) -> None:
        """Go to another step or layer; raises ScheduleError for one that there is not."""
        if op.step != self.step:
            if not self.step < op.step < self.steps:
                raise ScheduleError(
                    f"{self} goes on to step {op.step}; steps come in order and there are "
                    f"{self.steps}"
                )
            self._close_step()
        self.step, self.layer = op.step, op.layer

    def finish(self) -> None:
        """The schedule has ended; raises ScheduleError where it left out steps."""
        if self.step + 1 != self.steps:
            raise ScheduleError(
                f"rank {self.rank} ended after {self.step + 1} of {self.steps} steps"
            )
        self._close_step()

    def _close_step(self) -> None:
        """Tell the observer of the step that ends here; operations before step 0 go with it."""
        if self.step >= 0:
            self.observer.step_done(self.rank, self.step, self.unreported())
            self._step_began = len(self.operations)

    def unreported(self) -> list[Operation]:
        """The operations since the last step ended."""
        return self.operations[self._step_began :]

    def keep(self, op: Keep) -> None:
        """Offer an activation to the observer."""
        self.observer.keep(self.rank, self.step, self.layer, op.name, op.value)

    def row(self, stream: str, kind: str, name: str, start_s: float) -> Operation:
        """The next operation."""
        row = Operation(
            rank=self.rank,
            seq=len(self.operations),
            stream=stream,
            kind=kind,
            name=name,
            step=self.step,
            layer=self.layer,
            start_s=start_s,
        )
        self.operations.append(row)
        return row

    def transfer(self, op: Transfer, group: Group, start_s: float) -> Operation:
        """The next operation, which is a transfer.

        Raises ScheduleError for an all-to-all whose parts make no sense.
        """
        place = group.ranks.index(self.rank)
        row = self.row(group.name, op.kind, op.name, start_s)
        row.shape = describe_shape((op.value,))
        row.bytes = 0 if isinstance(op, Recv) else op.value.nbytes
        row.group = ",".join(map(str, group.ranks))
        if isinstance(op, Shift):
            row.dst, row.src = op.peers(self.rank, group)
        elif isinstance(op, Send):
            row.dst = op.to
        elif isinstance(op, Recv):
            row.src = op.source
        elif isinstance(op, Rooted):
            setattr(row, ROOTS[op.kind], op.root)
        elif isinstance(op, AllToAll):
            check_sizes(op, len(group.ranks), place, self)
            row.parts = ",".join(map(str, op.parts))
        row.wire_bytes = wire_bytes(op, len(group.ranks), place)
        return row


def describe(op: Op) -> str:
    """What was asked for, as errors name it."""
    if isinstance(op, Compute):
        return f"compute {getattr(op.fn, '__name__', type(op.fn).__name__)!r}"
    if isinstance(op, Wait):
        return f"waiting for {describe(op.ticket.op)}"
    if isinstance(op, Transfer):
        return f"{op.kind} {op.name!r}"
    return type(op).__name__


def where(step: int, layer: int) -> str:
    """The place in a run, as errors name it."""
    return f"step {step}, layer {layer}" if layer >= 0 else f"step {step}"
