"""A recorded run on another network: its own compute times, its own order, new transfer times."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from simnet.drivers.blob import Blob
from simnet.drivers.engine import Work, collector_paused, play
from simnet.drivers.observer import Observer
from simnet.drivers.recording import Recording
from simnet.ops import At, Compute, Lag, Program, Ticket, Wait
from traces.operation import table
from traces.run import SCHEMA
from traces.trace import Trace
from traces.versions import versions

if TYPE_CHECKING:
    import pandas as pd

    from simnet.network.network import Network

__all__ = ["Blob", "RecordedCall", "as_recorded", "recorded", "replay"]


def replay(trace: Trace, network: Network, observer: Observer | None = None) -> Trace:
    """Predict how long a recorded run would have taken on this network.

    Compute, and the host's time between operations, are as they were recorded. A program that is
    not ours is replayed as it was recorded too: what depends on what follows from the order of
    each rank's rows, from its waits, and from the order of transfers in each line.

    Raises TraceError for a trace whose recording is incomplete, and ScheduleError where its ranks
    do not fit together.
    """
    recording = Recording.of(trace)
    programs = [recorded(rows, recording) for _, rows in recording.ops.groupby("rank")]
    run = replace(
        trace.run,
        driver="replayed",
        started="",
        network=network.name,
        versions=versions(),
        schema=SCHEMA,
    )
    with collector_paused():
        operations, _ = play(
            *(programs, recording.steps, as_recorded, network, observer or Observer()),
            check=recording.check,
        )
        # A wait takes its transfer's name, but who recorded it may have called it otherwise.
        names = recording.ops["name"].to_numpy()
        return Trace(run, table(operations).assign(name=names))


def recorded(rows: pd.DataFrame, recording: Recording) -> Program:
    """One rank's rows, as the program that would leave them."""
    tickets: dict[int, Ticket] = {}
    ends: dict[int, float] = {}
    place = (-1, -1)
    row: Any
    for row in rows.itertuples():
        if (row.step, row.layer) != place:
            place = (row.step, row.layer)
            yield At(*place)
        if row.host_s:
            yield Lag(row.host_s)
        if row.kind == "compute":
            yield Compute(RecordedCall(row.name), row.shape, row.cost_s)
        elif row.kind == "wait":
            # Between the end of a transfer and the rank's going on: waking up, with busy cores.
            wake_s = row.end_s - max(row.start_s, ends[row.waits_for])
            yield Wait(tickets[row.waits_for], max(wake_s, 0.0))
        else:
            tickets[row.seq] = yield recording.transfer(row)
            ends[row.seq] = row.end_s
    return None


@dataclass(frozen=True)
class RecordedCall:
    """What was computed; only its name is left."""

    __name__: str

    def __call__(self, *args: Any) -> None:
        """Nothing is left to compute."""


def as_recorded(op: Compute) -> Work:
    """A recorded compute takes its recorded time."""
    shape, cost_s = op.args
    return Work(None, op.fn.__name__, shape, cost_s)
