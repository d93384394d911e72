"""What a recording's rows ask for, once more: our own schedules' to the shape, others' by size."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from simnet.bulk import Bulk
from simnet.drivers.blob import Blob
from simnet.drivers.matches import same_size, same_thing
from simnet.drivers.matching import Check
from simnet.drivers.recorded_parts import Sizes, recorded_sizes, rows_of_a_byte
from simnet.ops import (
    AllGather,
    AllReduce,
    AllToAll,
    Barrier,
    Broadcast,
    Gather,
    Group,
    Payload,
    Recv,
    Reduce,
    ReduceScatter,
    Scatter,
    Send,
    Shift,
    Transfer,
)
from traces.errors import TraceError
from traces.foreign import is_foreign, seen_to_end, with_parts
from traces.shape import parse_shape, payload_bytes

if TYPE_CHECKING:
    import pandas as pd

    from traces.trace import Trace


@dataclass(frozen=True)
class Recording:
    """Rows to be replayed.

    Attributes:
        ops: the rows, by rank and seq.
        steps: denoising steps; 0 where none is numbered.
        check: which transfers belong together.
    """

    ops: pd.DataFrame
    steps: int
    check: Check
    _value: Callable[[Any], Payload]
    _sizes: Mapping[tuple[int, int], Sizes]

    @classmethod
    def of(cls, trace: Trace) -> Recording:
        """Raises TraceError for a trace whose recording is incomplete, or makes no sense."""
        if is_foreign(trace.run):
            ops = with_parts(seen_to_end(trace.ops))
            sizes = recorded_sizes(ops, rows_of_a_byte)
            steps = 0 if (ops["step"] < 0).all() else trace.run.steps
            recording = cls(ops, steps, same_size, _bulk, sizes)
        else:
            sizes = recorded_sizes(trace.ops)
            recording = cls(trace.ops, trace.run.steps, same_thing, _blob, sizes)
        recording._expect_all(trace)
        return recording

    def transfer(self, row: Any) -> Transfer:
        """What this row asks for. Raises TraceError for a shape that is none."""
        group = Group(tuple(map(int, row.group.split(","))), row.stream)
        if row.kind == "barrier":
            return Barrier(row.name, group)
        value = self._value(row)
        sizes = self._sizes.get((row.rank, row.seq))
        if sizes:
            return AllToAll(row.name, value, group, sends=sizes.sends, takes=sizes.takes)
        return _TRANSFERS[row.kind](row, value, group)

    def _expect_all(self, trace: Trace) -> None:
        last = self.ops.groupby("rank")["step"].max()
        absent = sorted(set(range(trace.run.ranks)) - set(last.index))
        if not absent and last.min() + 1 >= self.steps:
            return
        found = [f"nothing was recorded of rank {rank}" for rank in absent]
        found += [
            f"rank {rank} has none of the steps"
            if step < 0
            else f"rank {rank} has {step + 1} of {self.steps} steps"
            for rank, step in last.items()
            if step + 1 < self.steps
        ]
        raise TraceError(
            f"this trace is incomplete: {'; '.join(trace.problems or found)}. "
            "Record it again, or replay the steps that all ranks completed (--partial)"
        )


def _blob(row: Any) -> Blob:
    shapes = parse_shape(row.shape)
    if len(shapes) != 1:
        raise TraceError(
            f"rank {row.rank}, operation {row.seq}: shape of a transfer is {row.shape!r}, "
            "expected one tensor's, such as '2x64x128:float32'"
        )
    return Blob(int(row.bytes), *shapes[0])


def _bulk(row: Any) -> Bulk:
    if row.kind == "recv" and row.shape:
        return Bulk(payload_bytes(row.shape), row.shape)
    return Bulk(int(row.bytes), row.shape)


def _shift(row: Any, value: Payload, group: Group) -> Transfer:
    by = group.ranks.index(row.dst) - group.ranks.index(row.rank)
    return Shift(row.name, value, by, group)


_TRANSFERS: dict[str, Callable[[Any, Payload, Group], Transfer]] = {
    "send": lambda row, value, group: Send(row.name, value, row.dst, group),
    "recv": lambda row, value, group: Recv(row.name, value, row.src, group),
    "shift": _shift,
    "all_gather": lambda row, value, group: AllGather(row.name, value, group),
    "all_reduce": lambda row, value, group: AllReduce(row.name, value, group),
    "all_to_all": lambda row, value, group: AllToAll(row.name, value, group),
    "reduce_scatter": lambda row, value, group: ReduceScatter(row.name, value, group),
    "broadcast": lambda row, value, group: Broadcast(row.name, value, row.src, group),
    "reduce": lambda row, value, group: Reduce(row.name, value, row.dst, group),
    "gather": lambda row, value, group: Gather(row.name, value, row.dst, group),
    "scatter": lambda row, value, group: Scatter(row.name, value, row.src, group),
}
