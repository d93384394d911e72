"""Which stretches of time a rank's transfers cover, and how much of that was not spent waiting."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
from numpy.typing import NDArray


def merge(rows: pd.DataFrame, by: Sequence[str]) -> pd.DataFrame:
    """The union of the rows' intervals within each key: columns `by`, start_s and end_s.

    Intervals that touch become one. Rows without an end (NaN) are left out.
    """
    keys = list(by)
    rows = rows.loc[rows["end_s"].notna(), [*keys, "start_s", "end_s"]]
    rows = rows.sort_values([*keys, "start_s"], kind="stable").reset_index(drop=True)
    reach_s = rows.groupby(keys)["end_s"].cummax()
    before_s = reach_s.groupby([rows[key] for key in keys]).shift()
    begins = ~(rows["start_s"] <= before_s)  # NaN, a key's first row, begins too
    stretches = rows.groupby([*keys, begins.cumsum().rename("stretch")], sort=False)
    merged = stretches.agg(start_s=("start_s", "first"), end_s=("end_s", "max"))
    return merged.reset_index().drop(columns="stretch")


def hidden_s(ops: pd.DataFrame, by: Sequence[str] = ("rank",)) -> pd.Series[float]:
    """Seconds per key during which transfers were under way and the rank did not wait.

    `ops` are rows of a trace and `by` begins with "rank"; the result is indexed by `by`. Several
    transfers of one key at once count once. What is under way after the rank's last compute or
    wait hides behind nothing and does not count; nor does a transfer that never ended.
    """
    keys = list(by)
    covered = merge(ops[ops["stream"] != "compute"], keys)
    length_s = pd.Series(0.0, index=covered.index)
    streams = dict(list(ops[ops["stream"] == "compute"].groupby("rank")))
    for rank, rows in covered.groupby("rank"):
        if rank in streams:
            ends_s = rows[["start_s", "end_s"]].to_numpy()
            length_s[rows.index] = np.diff(_busy_s(streams[rank], ends_s))[:, 0]
    return length_s.groupby([covered[key] for key in keys]).sum().rename("hidden_s")


def _busy_s(stream: pd.DataFrame, at_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """How much of the time until each `at_s` one rank did not wait; constant after its last row."""
    waits = merge(stream[stream["kind"] == "wait"], ["rank"])
    edges_s = waits[["start_s", "end_s"]].to_numpy().ravel()
    knots_s = np.concatenate([[0.0], edges_s, [stream["end_s"].max()]])
    lengths_s = np.diff(knots_s)
    lengths_s[1::2] = 0.0  # every second stretch is a wait
    elapsed_s = np.concatenate([[0.0], np.cumsum(lengths_s)])
    busy_s: NDArray[np.float64] = np.interp(at_s, knots_s, elapsed_s)
    return busy_s
