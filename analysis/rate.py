"""How fast the network of a recording was, as far as its transfers show."""

from __future__ import annotations

from typing import TYPE_CHECKING

from traces.errors import TraceError
from traces.interval import merge
from traces.units import bits

if TYPE_CHECKING:
    from traces.trace import Trace


def achieved_rate_bps(trace: Trace) -> float:
    """Bits per second that a rank put on the wire while any transfer of its was under way.

    The median over ranks. A transfer is under way from when the rank asks for it, so waiting for
    a late partner counts: it is what the run achieved, at most what the link could do. Raises
    TraceError for a trace in which nothing was sent.
    """
    ops = trace.ops
    transfers = ops[(ops["stream"] != "compute") & ops["end_s"].notna()]
    if not transfers["wire_bytes"].sum():
        raise TraceError("nothing was sent in this trace, so it tells nothing of its network")
    busy = merge(transfers, ["rank"])
    busy_s = (busy["end_s"] - busy["start_s"]).groupby(busy["rank"]).sum()
    sent = transfers.groupby("rank")["wire_bytes"].sum()
    return bits(float((sent / busy_s).median()))
