"""Latency against bandwidth: recorded runs replayed over a range of link rates."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from analysis.rate import achieved_rate_bps
from simnet.drivers.replay import replay
from simnet.network.topology import Links
from traces.summary import summarize
from traces.trace import Trace

#: From a slow wireless link to NVLink.
RATES_BPS: Sequence[float] = tuple(map(float, np.geomspace(1e7, 1e12, 16)))


def rates(latency_s: float = 50e-6) -> list[Links]:
    """Links without a name at each of RATES_BPS; the default latency is TCP's between two hosts."""
    return [Links("", rate_bps, latency_s) for rate_bps in RATES_BPS]


def sweep(traces: Mapping[str, Trace], links: Sequence[Links]) -> Iterator[dict[str, Any]]:
    """A point for each trace on each of the links, made as it is asked for.

    schedule (the trace's label), rate_bps, total_s, compute_s, evidence, network (the links'
    name). A trace that was measured over a network is a point itself too, at the rate that it
    achieved. Raises TraceError for a trace that cannot be replayed.
    """
    for label, trace in traces.items():
        for link in links:
            yield _point(label, replay(trace, link), link.rate_bps, link.name)
        if _is_a_point(trace):
            yield _point(label, trace, achieved_rate_bps(trace), "")


def count(traces: Mapping[str, Trace], links: Sequence[Links]) -> int:
    """How many points `sweep` gives."""
    return sum(len(links) + _is_a_point(trace) for trace in traces.values())


def _is_a_point(trace: Trace) -> bool:
    return trace.run.evidence == "measured"


def _point(label: str, trace: Trace, rate_bps: float, network: str) -> dict[str, Any]:
    summary = summarize(trace)
    return {
        "schedule": label,
        "rate_bps": rate_bps,
        "total_s": summary.total_s,
        "compute_s": summary.compute_s,
        "evidence": summary.evidence,
        "network": network,
    }
