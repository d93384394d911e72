"""How much of each layer's communication was hidden behind work, and how much was waited for."""

from __future__ import annotations

from typing import TYPE_CHECKING

from traces.interval import hidden_s

if TYPE_CHECKING:
    import pandas as pd

    from traces.trace import Trace


def overlap(trace: Trace) -> pd.DataFrame:
    """Seconds indexed by (rank, step, layer): columns compute_s, exposed_s, hidden_s.

    A wait counts where it happens, a transfer where it was asked for. Transfers of different
    layers may be under way at once, so hidden_s adds up to more than the rank's hidden time.
    """
    ops, keys = trace.ops, ["rank", "step", "layer"]
    stream = ops[ops["stream"] == "compute"]
    length_s = stream["end_s"] - stream["start_s"]
    spent_s = stream[keys].assign(
        compute_s=length_s.where(stream["kind"] == "compute", 0.0),
        exposed_s=length_s.where(stream["kind"] == "wait", 0.0),
    )
    return spent_s.groupby(keys).sum().join(hidden_s(ops, keys), how="outer").fillna(0.0)
