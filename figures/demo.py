"""The demonstration: both schedules live on this machine, then on networks that it has not got."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.sweep import rates
from figures import timeline
from simnet.drivers.hardware import threads_per_rank
from simnet.drivers.launch import run_distributed
from simnet.drivers.observer import Observer
from simnet.drivers.replay import replay
from simnet.job import Job
from simnet.network.network import Network
from simnet.network.presets import links
from simnet.network.recorded import RecordedNetwork
from simnet.schedules.base import Schedule
from simnet.schedules.distrifusion import DistriFusion
from simnet.schedules.ring import RingAttention
from traces.summary import summarize
from traces.trace import Trace

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SCHEDULES: tuple[Schedule, ...] = (RingAttention(), DistriFusion())
PRESETS = tuple(map(links, ("pcie-4", "ethernet-10g", "ethernet-1g", "ethernet-100m")))
#: Of the figure of latency against bandwidth.
LINKS = (*rates(), *PRESETS)
JOB = Job("dit-tiny", ranks=4, steps=8)
#: Rows of the table for each trace: as measured, given back, and on the presets.
ROWS = 2 + len(PRESETS)


def record(schedule: Schedule, folder: Path, observer: Observer) -> Trace:
    """Run it on real processes; the trace goes to a folder of the schedule's name."""
    return run_distributed(schedule, JOB, folder / schedule.name, observer=observer, overwrite=True)


def rows(traces: Sequence[Trace]) -> Iterator[dict[str, Any]]:
    """A row for each schedule and network: what was measured, given back, and predicted."""
    for trace in traces:
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


def timelines(trace: Trace) -> Figure:
    """As recorded, and on the slowest network."""
    both = {"recorded": trace, "replayed": replay(trace, PRESETS[-1])}
    return timeline.draw(timeline.tables(both))


def caution() -> str:
    """Why this machine's own network may come out slower than one that is predicted."""
    cores = threads_per_rank(1)
    return (
        f"{JOB.ranks} processes ran on {cores} usable core{'s' * (cores > 1)}. Here computing, "
        "posting transfers and the loopback network share the cores; a predicted network takes no "
        'share, so a fast one may come out faster than "this machine".'
    )
