"""The network as it was while a trace was recorded: every exchange takes what it took then."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

import simpy

from simnet.network.network import Exchange, Line
from traces.errors import TraceError

if TYPE_CHECKING:
    from traces.trace import Trace

#: Time of an exchange at each member, by its line and its ordinal there.
Times = dict[tuple[Line, int], tuple[float, ...]]


class RecordedNetwork:
    """Gives each exchange of a replayed trace the time that it took in the recording.

    An exchange begins when all its members have asked for it and the one before it on the same
    line has ended; what it took from there is a property of the network that was recorded, with
    whatever else went on in it.
    """

    def __init__(self, name: str, times: Times) -> None:
        self.name = name
        self.times = times

    @classmethod
    def from_trace(cls, trace: Trace) -> RecordedNetwork:
        """Raises TraceError for a transfer that not all its members recorded the end of."""
        queues: dict[Line, dict[int, list[Any]]] = defaultdict(lambda: defaultdict(list))
        transfers = trace.ops[trace.ops["stream"] != "compute"]
        row: Any
        for row in transfers.itertuples():
            for line in _lines(row):
                queues[line][row.rank].append(row)
        times: Times = {}
        for line, queue in queues.items():
            exchanges = zip(*(queue[rank] for rank in line.ranks), strict=False)
            times.update(_times(line, exchanges))
        return cls(trace.run.network, times)

    def traffic(self, env: simpy.Environment) -> RecordedTraffic:
        """Nothing is shared: the recorded times have it in them."""
        return RecordedTraffic(self, env)


class RecordedTraffic:
    """The recorded network in use."""

    def __init__(self, network: RecordedNetwork, env: simpy.Environment) -> None:
        self.times = network.times
        self.env = env

    def carry(self, exchange: Exchange) -> list[simpy.Event]:
        """Each member is done after its recorded time."""
        times = self.times.get((exchange.line, exchange.ordinal))
        if times is None:
            ranks = ",".join(map(str, exchange.ranks))
            raise TraceError(
                f"the recording has no {exchange.kind} number {exchange.ordinal} between ranks "
                f"{ranks} of {exchange.line.group!r}; only the trace it came from can be replayed"
            )
        return [self.env.timeout(time_s) for time_s in times]


def _lines(row: Any) -> list[Line]:
    """Where a recorded transfer stood, as simnet.drivers.matching.lines has it."""
    ends = {
        "send": [(row.rank, row.dst)],
        "recv": [(row.src, row.rank)],
        "shift": [] if row.dst == row.rank else [(row.rank, row.dst), (row.src, row.rank)],
    }
    whole = [tuple(map(int, row.group.split(",")))]
    return [Line(row.stream, ranks) for ranks in ends.get(row.kind, whole)]


def _times(
    line: Line, exchanges: Iterable[tuple[Any, ...]]
) -> Iterator[tuple[tuple[Line, int], tuple[float, ...]]]:
    free_s = -math.inf
    for ordinal, rows in enumerate(exchanges):
        start_s = max(free_s, *(row.start_s for row in rows))
        if any(math.isnan(row.end_s) for row in rows):
            lost = next(row for row in rows if math.isnan(row.end_s))
            raise TraceError(
                f"rank {lost.rank}, step {lost.step}, layer {lost.layer}: {lost.kind} "
                f"{lost.name!r} was never seen to end; replay it on a network model instead"
            )
        yield (line, ordinal), tuple(max(0.0, row.end_s - start_s) for row in rows)
        free_s = max(row.end_s for row in rows)
