"""Which rows of different ranks are one exchange, and when its line was busy with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pandas as pd

from simnet.network.network import Line, lines
from traces.columns import COLLECTIVES

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterator

    from traces.trace import Trace

_QUEUES_BY = ["rank", "stream", "kind", "group", "dst", "src"]
_STANDS = ["line", "members", "sends", "takes"]


def places(trace: Trace) -> pd.DataFrame:
    """Where each transfer queues: a row for each line that it stands in, by rank and seq.

    line ("world (0,1,2,3)" or "world 0>1"), ordinal (which of the line's exchanges it is part of,
    from 0), rank, seq, name, step, layer, start_s, end_s, members (how many ranks the exchange
    joins), takes (whether its end is the rank's, which a message's sender's is not), wire_bytes
    (what the rank puts on this line; a shift's are for the rank it sends to).
    Transfers are matched in order, as the drivers do (simnet.network.network.lines). A shift of a
    rank to itself stands in no line.
    """
    ops = trace.ops
    transfers = ops[ops["stream"] != "compute"]
    kinds = transfers[_QUEUES_BY].drop_duplicates()
    stands = pd.DataFrame(_stands(kinds), columns=[*_QUEUES_BY, *_STANDS])
    placed = transfers.merge(stands.astype({name: ops[name].dtype for name in _QUEUES_BY}))
    placed = placed.sort_values(["rank", "seq"], kind="stable").reset_index(drop=True)
    placed["ordinal"] = placed.groupby(["line", "rank"]).cumcount()
    placed["wire_bytes"] = placed["wire_bytes"].where(placed["sends"].astype(bool), 0)
    columns = ["line", "ordinal", "rank", "seq", "name", "step", "layer", "start_s", "end_s"]
    return placed[[*columns, "members", "takes", "wire_bytes"]]


def exchanges(placed: pd.DataFrame) -> pd.DataFrame:
    """A row for each exchange, by line and ordinal, of what `places` gives.

    asked_s (when the last of its ranks that were recorded had asked for it), begin_s (that, or
    when the line was free of the exchange before), end_s (when the last of them was through; NaN
    where one was never seen to be), ranks (of which there is a row), members, wire_bytes, name.
    Two exchanges of a line that overlapped are as they were: gloo has two threads for one.
    """
    keys = ["line", "ordinal"]
    table = placed.groupby(keys).agg(
        asked_s=("start_s", "max"),
        ranks=("rank", "size"),
        members=("members", "first"),
        wire_bytes=("wire_bytes", "sum"),
        name=("name", "first"),
    )
    taken = placed["takes"].groupby([placed[key] for key in keys]).transform("any")
    ends = placed[placed["takes"] | ~taken].groupby(keys)["end_s"].agg(["max", "count", "size"])
    table.insert(1, "end_s", ends["max"].where(ends["count"] == ends["size"]))
    free_s = table.groupby("line")["end_s"].shift()
    queued = (free_s > table["asked_s"]) & (free_s <= table["end_s"])
    table.insert(1, "begin_s", table["asked_s"].where(~queued, free_s))
    return table


def _stands(kinds: pd.DataFrame) -> Iterator[tuple[Hashable, ...]]:
    rows: Any = kinds.itertuples(index=False)
    for row in rows:
        for line in lines(row, tuple(map(int, row.group.split(",")))):
            together = row.kind in COLLECTIVES
            members = len(line.ranks)
            sends = together or line.ranks[0] == row.rank
            takes = together or line.ranks[-1] == row.rank
            yield (*row, _text(line), members, sends, takes)


def _text(line: Line) -> str:
    ranks = map(str, line.ranks)
    return (
        f"{line.group} {'>'.join(ranks)}" if line.message else f"{line.group} ({','.join(ranks)})"
    )
