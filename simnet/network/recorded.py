"""The network as it was while a trace was recorded: every exchange takes what it took then."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import simpy

from simnet.network.network import Exchange, Line, lines
from traces.errors import TraceError
from traces.foreign import is_foreign, seen_to_end

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
        ops = seen_to_end(trace.ops) if is_foreign(trace.run) else trace.ops
        transfers = ops[ops["stream"] != "compute"]
        row: Any
        for row in transfers.itertuples():
            for line in lines(row, tuple(map(int, row.group.split(",")))):
                queues[line][row.rank].append(row)
        times: Times = {}
        for line, queue in queues.items():
            exchanges = zip(*(queue[rank] for rank in line.ranks), strict=False)
            times.update(_times(line, list(exchanges)))
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


def _times(
    line: Line, exchanges: Sequence[tuple[Any, ...]]
) -> Iterator[tuple[tuple[Line, int], tuple[float, ...]]]:
    free_s = -math.inf
    for (ordinal, rows), ends_s in zip(enumerate(exchanges), _ends(exchanges), strict=True):
        start_s = max(free_s, *(row.start_s for row in rows))
        yield (line, ordinal), tuple(max(0.0, end_s - start_s) for end_s in ends_s)
        free_s = max(ends_s)


def _ends(exchanges: Sequence[tuple[Any, ...]]) -> list[list[float]]:
    """When each member was through with each exchange on this line.

    A shift's row says when both its halves had ended. The half on this line had ended before what
    came after it on the line began, so no later than any end of that.
    """
    ends_s: list[list[float]] = []
    after_s = math.inf
    for rows in reversed(exchanges):
        for row in rows:
            if math.isnan(row.end_s):
                raise TraceError(
                    f"rank {row.rank}, step {row.step}, layer {row.layer}: {row.kind} "
                    f"{row.name!r} was never seen to end; replay it on a network model instead"
                )
        ends_s.append([min(row.end_s, after_s) for row in rows])
        after_s = min(ends_s[-1])
    return ends_s[::-1]
