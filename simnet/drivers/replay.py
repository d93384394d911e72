"""A recorded run on another network: its own compute times, its own order, new transfer times."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from simnet.drivers.engine import Work, collector_paused, play
from simnet.drivers.observer import Observer
from simnet.drivers.recorded_parts import Sizes, recorded_sizes
from simnet.ops import (
    AllGather,
    AllReduce,
    AllToAll,
    At,
    Compute,
    Group,
    Lag,
    Program,
    Recv,
    Send,
    Shift,
    Ticket,
    Transfer,
    Wait,
)
from traces.errors import TraceError
from traces.operation import table
from traces.run import SCHEMA
from traces.shape import parse_shape
from traces.trace import Trace
from traces.versions import versions

if TYPE_CHECKING:
    from simnet.network.network import Network


def replay(trace: Trace, network: Network, observer: Observer | None = None) -> Trace:
    """Predict how long a recorded run would have taken on this network.

    Compute, and the host's time between operations, are as they were recorded. Raises TraceError
    for a trace whose recording is incomplete, and ScheduleError where its ranks do not fit
    together.
    """
    steps = trace.ops.groupby("rank")["step"].max() + 1
    if len(steps) < trace.run.ranks or steps.min() < trace.run.steps:
        raise TraceError(
            f"this trace is incomplete: {'; '.join(trace.problems)}. "
            "Record it again, or replay the steps that all ranks completed (--partial)"
        )
    sizes = recorded_sizes(trace.ops)
    programs = [recorded(rows, sizes) for _, rows in trace.ops.groupby("rank")]
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
            programs, trace.run.steps, as_recorded, network, observer or Observer()
        )
        return Trace(run, table(operations))


def recorded(rows: Any, sizes: Mapping[tuple[int, int], Sizes]) -> Program:
    """One rank's rows, as the program that would leave them. `sizes`: see recorded_sizes."""
    tickets: dict[int, Ticket] = {}
    ends: dict[int, float] = {}
    place = (-1, -1)
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
            tickets[row.seq] = yield _transfer(row, sizes.get((row.rank, row.seq)))
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


@dataclass(frozen=True)
class Blob:
    """So many bytes of what was transferred, of the same shape and type as then."""

    nbytes: int
    shape: tuple[int, ...]
    dtype: str

    def __add__(self, other: Blob) -> Blob:
        return self

    def chunk(self, chunks: int) -> Sequence[Blob]:
        """Equal parts along dim 0."""
        first, *rest = self.shape
        return [Blob(self.nbytes // chunks, (first // chunks, *rest), self.dtype)] * chunks

    def split(self, sizes: Sequence[int]) -> Sequence[Blob]:
        """Parts of so many rows along dim 0."""
        first, *rest = self.shape
        row_bytes = self.nbytes // max(1, first)
        return [Blob(rows * row_bytes, (rows, *rest), self.dtype) for rows in sizes]


def _transfer(row: Any, sizes: Sizes | None) -> Transfer:
    shapes = parse_shape(row.shape)
    if len(shapes) != 1:
        raise TraceError(
            f"rank {row.rank}, operation {row.seq}: shape of a transfer is {row.shape!r}, "
            "expected one tensor's, such as '2x64x128:float32'"
        )
    value = Blob(int(row.bytes), *shapes[0])
    group = Group(tuple(map(int, row.group.split(","))), row.stream)
    if sizes:
        return AllToAll(row.name, value, group, sends=sizes.sends, takes=sizes.takes)
    return _TRANSFERS[row.kind](row, value, group)


def _shift(row: Any, value: Blob, group: Group) -> Transfer:
    by = group.ranks.index(row.dst) - group.ranks.index(row.rank)
    return Shift(row.name, value, by, group)


_TRANSFERS: dict[str, Callable[[Any, Blob, Group], Transfer]] = {
    "send": lambda row, value, group: Send(row.name, value, row.dst, group),
    "recv": lambda row, value, group: Recv(row.name, value, row.src, group),
    "shift": _shift,
    "all_gather": lambda row, value, group: AllGather(row.name, value, group),
    "all_reduce": lambda row, value, group: AllReduce(row.name, value, group),
    "all_to_all": lambda row, value, group: AllToAll(row.name, value, group),
}
