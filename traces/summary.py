"""Where a run's time went: computing, waiting for the network, on the host; and what it sent."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from traces.errors import TraceError
from traces.interval import hidden_s

if TYPE_CHECKING:
    import pandas as pd

    from traces.trace import Trace


@dataclass(frozen=True, slots=True)
class RankSummary:
    """One rank: total_s = compute_s + exposed_s + host_s, up to rounding."""

    rank: int
    total_s: float  # end of its last compute or wait
    compute_s: float
    exposed_s: float  # waiting for transfers
    host_s: float  # between operations
    hidden_s: float  # transfers under way while it did not wait
    bytes: int  # payload it contributed
    wire_bytes: int  # what it put on the wire


@dataclass(frozen=True, slots=True)
class Summary:
    """A whole run. Times are of the rank that finishes last, bytes are sums over ranks."""

    total_s: float
    compute_s: float
    exposed_s: float
    host_s: float
    hidden_s: float
    bytes: int
    wire_bytes: int
    evidence: str  # see traces.run.Run.evidence
    model: str
    schedule: str
    steps: int
    world: int  # number of ranks
    network: str
    device: str
    problems: tuple[str, ...]  # what the recording lost
    ranks: tuple[RankSummary, ...]  # those of which anything was recorded

    def to_json(self) -> dict[str, Any]:
        """Plain types under the names of the fields; `ranks` is a list of objects."""
        plain = asdict(self)
        return plain | {"problems": list(self.problems), "ranks": list(plain["ranks"])}


def summarize(trace: Trace) -> Summary:
    """Add up a trace; of ranks that finish together, the lowest stands for the run.

    Raises TraceError for a trace in which no rank computed or waited.
    """
    hidden = hidden_s(trace.ops)
    ranks = tuple(
        _rank(rows, hidden)
        for _, rows in trace.ops.groupby("rank")
        if (rows["stream"] == "compute").any()
    )
    if not ranks:
        raise TraceError("the trace holds no compute and no wait, so there is nothing to sum up")
    last = max(ranks, key=lambda rank: rank.total_s)  # max keeps the first of equals
    run = trace.run
    return Summary(
        total_s=last.total_s,
        compute_s=last.compute_s,
        exposed_s=last.exposed_s,
        host_s=last.host_s,
        hidden_s=last.hidden_s,
        bytes=sum(rank.bytes for rank in ranks),
        wire_bytes=sum(rank.wire_bytes for rank in ranks),
        evidence=run.evidence,
        model=run.model,
        schedule=run.schedule,
        steps=run.steps,
        world=run.ranks,
        network=run.network,
        device=run.device,
        problems=tuple(trace.problems),
        ranks=ranks,
    )


def _rank(rows: pd.DataFrame, hidden: pd.Series[float]) -> RankSummary:
    rank = int(rows["rank"].iloc[0])
    stream = rows[rows["stream"] == "compute"]
    length_s = stream["end_s"] - stream["start_s"]
    # Gaps stand before operations, so one before a transfer counts; one after the last compute
    # or wait is not part of the rank's time.
    until = rows["seq"] <= stream["seq"].max()
    return RankSummary(
        rank=rank,
        total_s=float(stream["end_s"].max()),
        compute_s=float(length_s[stream["kind"] == "compute"].sum()),
        exposed_s=float(length_s[stream["kind"] == "wait"].sum()),
        host_s=float(rows.loc[until, "host_s"].sum()),
        hidden_s=float(hidden.get(rank, 0.0)),
        bytes=int(rows["bytes"].sum()),
        wire_bytes=int(rows["wire_bytes"].sum()),
    )
