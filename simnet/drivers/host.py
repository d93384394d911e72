"""What the host of a rank does between operations: python, posting transfers, waking up."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from typing import TYPE_CHECKING

from traces.errors import InputError

if TYPE_CHECKING:
    import pandas as pd

    from traces.trace import Trace

#: So many values stand for all that were seen.
_DRAWN_FROM = 64
# Another process on a core delays a few operations by whole time slices.
_TYPICAL = 0.99

#: Seconds, of which each is as likely as any other; none where no time is taken at all.
Spread = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class HostCosts:
    """Seconds that an operation takes of a rank's host, whatever it is.

    `gap_s` goes by before any operation; `post_s` instead before one that follows a transfer, which
    the host has started meanwhile; `wake_s` from the end of a transfer until the rank that waited
    for it goes on; `late_s` from the end of a compute until the host notices. Each time one of the
    values is drawn, for each rank by itself: that ranks do not come to an exchange at the same
    moment decides who waits for whom. The same `seed` draws the same.

    Raises InputError for a value that is negative or not finite.
    """

    gap_s: Spread = ()
    post_s: Spread = ()
    wake_s: Spread = ()
    late_s: Spread = ()
    seed: int = 0

    def __post_init__(self) -> None:
        for name in ("gap_s", "post_s", "wake_s", "late_s"):
            wrong = [value for value in getattr(self, name) if not 0 <= value < math.inf]
            if wrong:
                raise InputError(
                    f"host costs: {name} has {wrong[0]}, expected seconds from 0 up, and finite"
                )

    @classmethod
    def of(cls, traces: Sequence[Trace], late_s: Sequence[float] = ()) -> HostCosts:
        """As they were in live runs, all but the longest hundredth.

        Raises InputError where they have no operations.
        """
        import pandas as pd

        tables = [trace.ops for trace in traces]
        if not tables or all(table.empty for table in tables):
            raise InputError("host costs: there are no operations to learn them from")
        gaps_s = pd.concat([_before(table) for table in tables])
        return cls(
            spread(gaps_s.loc[~gaps_s["posted"], "host_s"].tolist()),
            spread(gaps_s.loc[gaps_s["posted"], "host_s"].tolist()),
            spread(pd.concat([_wakes(table) for table in tables]).tolist()),
            spread(late_s),
        )

    def of_rank(self, rank: int) -> Host:
        """One rank's."""
        return Host(self, Random(f"{self.seed} {rank}"))  # noqa: S311 - no secret


class Host:
    """One rank's, drawn one after the other."""

    def __init__(self, costs: HostCosts, random: Random) -> None:
        self._costs = costs
        self._random = random

    def gap_s(self, *, posted: bool) -> float:
        """Before an operation; `posted` says that a transfer stands before it."""
        return self._drawn(self._costs.post_s if posted else self._costs.gap_s)

    def wake_s(self) -> float:
        """After a transfer that was waited for."""
        return self._drawn(self._costs.wake_s)

    def late_s(self) -> float:
        """After a compute."""
        return self._drawn(self._costs.late_s)

    def _drawn(self, values: Spread) -> float:
        return self._random.choice(values) if values else 0.0


#: A host that takes no time at all.
NO_HOST = HostCosts()


def spread(times_s: Sequence[float]) -> Spread:
    """Evenly spaced quantiles of these, without the longest; none of nothing."""
    import numpy as np

    if not len(times_s):
        return ()
    places = _TYPICAL * (np.arange(_DRAWN_FROM) + 0.5) / _DRAWN_FROM
    return tuple(np.quantile(np.maximum(times_s, 0.0), places).tolist())


def _before(table: pd.DataFrame) -> pd.DataFrame:
    """`host_s` of each operation but a rank's first, and whether a transfer stands before it."""
    ordered = table.sort_values(["rank", "seq"])
    transfer = ordered["stream"] != "compute"
    posted = transfer.groupby(ordered["rank"]).shift(fill_value=False).astype(bool)
    return ordered.assign(posted=posted)[ordered["seq"] > 0][["host_s", "posted"]]


def _wakes(table: pd.DataFrame) -> pd.Series[float]:
    """Seconds from a transfer's end to that of the wait that was there before it."""
    ends = table[["rank", "seq", "end_s"]].rename(columns={"seq": "waits_for", "end_s": "over_s"})
    waits = table[table["kind"] == "wait"].merge(ends, on=["rank", "waits_for"])
    waited = waits[waits["over_s"] > waits["start_s"]]
    return waited["end_s"] - waited["over_s"]
