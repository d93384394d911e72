"""Which of a few runs counts: one that other work on the machine has left in peace."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from shutil import rmtree
from typing import TYPE_CHECKING, Any

from simnet.lab.order import Workload, run_order
from traces.summary import summarize
from traces.trace import Trace

if TYPE_CHECKING:
    import pandas as pd

#: This part of a run may be lost to other work.
LOST = 0.02

_RUNS = 3  # at most, and where nothing tells whether they were disturbed
# Python, posting a transfer, writing a step's rows, and waking up take less.
_STALL_S = 5e-3

#: Has all ranks carry out an order; gives what each reports.
Ask = Callable[[dict[str, Any]], Sequence[Mapping[str, float]]]


def undisturbed(ask: Ask, workload: Workload, path: Path, profile: Path | None) -> float:
    """Run and record at `path`, again where that was disturbed; gives what was lost, in seconds.

    Whether it was does not depend on anything that is predicted. Raises as `ask` does.
    """
    latest = path.with_name(path.name + "-latest")
    least_s = math.inf
    for _ in range(_RUNS):
        reports = ask(run_order(workload, latest, profile=profile))
        trace = Trace.open(latest)
        total_s, lost_s = summarize(trace).total_s, disturbed_s(reports, trace.ops)
        if lost_s < least_s:
            least_s = lost_s
            rmtree(path, ignore_errors=True)
            latest.rename(path)
        if least_s <= LOST * total_s:
            break
    rmtree(latest, ignore_errors=True)
    return least_s


def middle(ask: Ask, workload: Workload, path: Path) -> float:
    """Run and record three times what has no pace to tell by; that with the middle time counts.

    Gives what was lost to other work in it, as far as can be told, in seconds.
    """
    found = []
    for number in range(_RUNS):
        latest = path.with_name(f"{path.name}-{number}")
        reports = ask(run_order(workload, latest))
        trace = Trace.open(latest)
        found.append((summarize(trace).total_s, disturbed_s(reports, trace.ops), latest))
    found.sort()
    _, lost_s, chosen = found[_RUNS // 2]
    rmtree(path, ignore_errors=True)
    chosen.rename(path)
    for *_, other in found:
        rmtree(other, ignore_errors=True)
    return lost_s


def disturbed_s(reports: Sequence[Mapping[str, float]], ops: pd.DataFrame) -> float:
    """The longest that a rank was kept from going on, in all.

    That is by how much its paced computes ended late, as it reports, and what its host took
    between operations, or to wake up, where that is too long to be its own doing.
    """
    late_s = max((report.get("late_s", 0.0) for report in reports), default=0.0)
    ends_s = ops[["rank", "seq", "end_s"]].rename(columns={"seq": "waits_for", "end_s": "over_s"})
    rows = ops.merge(ends_s, on=["rank", "waits_for"], how="left")
    waits = rows[["start_s", "over_s"]].max(axis=1)
    wakes_s = (rows["end_s"] - waits).where(rows["kind"] == "wait", 0.0)
    lost = [times_s.where(times_s > _STALL_S, 0.0) for times_s in (rows["host_s"], wakes_s)]
    stalls_s = (lost[0] + lost[1]).groupby(rows["rank"]).sum()
    return late_s + float(stalls_s.max())
