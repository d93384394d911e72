"""One time axis for many hosts: how far another host's clock is ahead of this one's, and drifts."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from traces.errors import TraceError

if TYPE_CHECKING:
    import pandas as pd

#: Quartz is good to 1e-4 and better; a clock beyond this was not read right.
_MOST_DRIFT = 0.01


class Ping(NamedTuple):
    """A message there and back, in seconds, each on the clock of the host that read it."""

    sent_s: float
    answered_s: float  # on the other host
    received_s: float


def quickest(pings: Iterable[Ping]) -> Ping:
    """The one that was back soonest; it tells most about the other clock."""
    return min(pings, key=lambda ping: ping.received_s - ping.sent_s)


def ahead_s(pings: Iterable[Ping]) -> float:
    """How far the other clock is ahead, from the ping that was quickest to come back.

    The answer is taken to lie half-way between sending and receiving, so the error is at most
    half the quickest round trip (Mills 1991, "Internet Time Synchronization", section 4).
    """
    best = quickest(pings)
    return best.answered_s - (best.sent_s + best.received_s) / 2


@dataclass(frozen=True, slots=True)
class Reading:
    """How far rank 0's clock was ahead of this one's, when this one showed `at_s`."""

    at_s: float
    ahead_s: float
    error_s: float  # at most; 0 for ranks that read the same clock


@dataclass(frozen=True, slots=True)
class RankClock:
    """A rank's clock beside rank 0's, whose times are the common axis; seconds of the run.

    Between the two readings, and beyond them, the one is taken to gain on the other steadily.
    """

    host: str
    began: Reading
    ended: Reading | None = None  # a rank that died has none

    @property
    def drift(self) -> float:
        """Seconds that rank 0's clock gains in a second of this one's."""
        if self.ended is None or self.ended.at_s == self.began.at_s:
            return 0.0
        gained_s = self.ended.ahead_s - self.began.ahead_s
        return gained_s / (self.ended.at_s - self.began.at_s)

    @property
    def error_s(self) -> float:
        """How far a corrected time may be off while between the readings."""
        return max(self.began.error_s, self.ended.error_s if self.ended else 0.0)

    def common(self, rows: pd.DataFrame) -> pd.DataFrame:
        """Rows of this rank, whichever columns they have, with their times on the common axis."""
        drift, shift_s = self.drift, self.began.ahead_s - self.drift * self.began.at_s
        if not drift and not shift_s:
            return rows
        times = {name: rows[name] for name in ("start_s", "end_s") if name in rows}
        spans = {name: rows[name] for name in ("cost_s", "host_s") if name in rows}
        moved = {name: (t * (1 + drift) + shift_s).clip(lower=0.0) for name, t in times.items()}
        return rows.assign(**moved, **{name: t * (1 + drift) for name, t in spans.items()})

    def applied(self) -> RankClock:
        """Of rows that are on the common axis already: what is left is how far they may be off."""
        none = [reading and replace(reading, ahead_s=0.0) for reading in (self.began, self.ended)]
        assert none[0] is not None
        return RankClock(self.host, none[0], none[1])

    def to_json(self) -> dict[str, Any]:
        """Plain types, for a rank's clock.json."""
        return asdict(self)

    @classmethod
    def from_json(cls, data: object, where: str) -> RankClock:
        """Read it back; raises TraceError naming `where` and what is wrong."""
        match data:
            case {"host": str(host), "began": began, "ended": ended, **rest} if not rest:
                last = None if ended is None else _reading(ended, where)
                clock = cls(host, _reading(began, where), last)
                if abs(clock.drift) <= _MOST_DRIFT:
                    return clock
                raise TraceError(
                    f"{where}: the clock drifts by {clock.drift:g} s a second, beyond what clocks "
                    f"do ({_MOST_DRIFT:g}); the file is damaged, or was edited"
                )
        raise TraceError(f"{where}: expected an object of host, began and ended")


def _reading(data: object, where: str) -> Reading:
    names = ("at_s", "ahead_s", "error_s")
    if isinstance(data, dict) and set(data) == set(names):
        values = [data[name] for name in names]
        if all(type(x) in (int, float) and abs(x) < 1e12 for x in values) and values[2] >= 0:
            return Reading(*map(float, values))
    raise TraceError(f"{where}: a reading is {data!r}; expected numbers {', '.join(names)}")
