"""The demonstration: both schedules live on this machine, then on networks that it has not got."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pandas as pd

from analysis.sweep import sweep
from figures import bandwidth, style, timeline
from simnet.drivers.launch import run_distributed
from simnet.drivers.observer import Observer
from simnet.drivers.replay import replay
from simnet.job import Job
from simnet.network.network import Network
from simnet.network.presets import network
from simnet.network.recorded import RecordedNetwork
from simnet.schedules.base import Schedule
from simnet.schedules.distrifusion import DistriFusion
from simnet.schedules.ring import RingAttention
from traces.summary import summarize
from traces.trace import Trace

SCHEDULES: tuple[Schedule, ...] = (RingAttention(), DistriFusion())
PRESETS = tuple(map(network, ("pcie-4", "ethernet-10g", "ethernet-1g", "ethernet-100m")))
JOB = Job("dit-tiny", ranks=4, steps=8)


def record(schedule: Schedule, folder: Path, observer: Observer) -> Trace:
    """Run it on real processes; the trace goes to a folder of the schedule's name."""
    return run_distributed(schedule, JOB, folder / schedule.name, observer=observer, overwrite=True)


def table(traces: Sequence[Trace]) -> pd.DataFrame:
    """A row for each schedule and network: what was measured, given back, and predicted."""
    return pd.DataFrame(row for trace in traces for row in _rows(trace))


def _rows(trace: Trace) -> Iterator[dict[str, Any]]:
    yield _row(trace, "this machine")
    recorded = RecordedNetwork.from_trace(trace)
    networks: list[tuple[str, Network]] = [("this machine, replayed", recorded)]
    networks += [(preset.name, preset) for preset in PRESETS]
    for name, chosen in networks:
        yield _row(replay(trace, chosen), name)


def _row(trace: Trace, name: str) -> dict[str, Any]:
    summary = summarize(trace).to_json()
    columns = ("evidence", "total_s", "compute_s", "exposed_s", "hidden_s", "host_s", "wire_bytes")
    return {"schedule": summary["schedule"], "network": name} | {c: summary[c] for c in columns}


def figures(traces: Sequence[Trace]) -> Iterator[tuple[str, Callable[[Path], None]]]:
    """Each figure's file name, and what draws it there."""
    slowest = PRESETS[-1]
    for trace in traces:
        name = trace.run.schedule.partition(":")[0]
        pair = [trace, replay(trace, slowest)]
        yield f"timeline-{name}.png", _saves(timeline.draw(pair, ["recorded", "replayed"]))
    points = bandwidth.table(sweep(traces, PRESETS))
    yield "latency-against-bandwidth.png", _saves(bandwidth.draw(points))


def _saves(figure: Any) -> Callable[[Path], None]:
    return lambda path: style.save(figure, path)
