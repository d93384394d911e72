"""Latency against bandwidth: recorded runs replayed over a range of link rates."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pandas as pd

from analysis.rate import achieved_rate_bps
from simnet.drivers.replay import replay
from simnet.network.links import Links
from traces.summary import summarize
from traces.trace import Trace

#: From a slow wireless link to NVLink.
RATES_BPS: Sequence[float] = tuple(map(float, np.geomspace(1e7, 1e12, 16)))


def sweep(
    traces: Iterable[Trace], presets: Iterable[Links] = (), latency_s: float = 50e-6
) -> pd.DataFrame:
    """A row for each recording and rate: schedule, rate_bps, total_s, compute_s, evidence, network.

    Replays at RATES_BPS with `latency_s` (the default is TCP's between two hosts) and on the
    presets, under their names; and the recording itself, at the rate that it achieved.
    """
    links = [*(Links("", rate_bps, latency_s) for rate_bps in RATES_BPS), *presets]
    rows = []
    for trace in traces:
        rows += [_point(replay(trace, link), link.rate_bps, link.name) for link in links]
        rows.append(_point(trace, achieved_rate_bps(trace), ""))
    return pd.DataFrame(rows)


def _point(trace: Trace, rate_bps: float, network: str) -> dict[str, Any]:
    summary = summarize(trace)
    return {
        "schedule": summary.schedule,
        "rate_bps": rate_bps,
        "total_s": summary.total_s,
        "compute_s": summary.compute_s,
        "evidence": summary.evidence,
        "network": network,
    }
