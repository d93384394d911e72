"""A process of the lab: one rank, which measures its network and runs cases as it is told to."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Callable, Mapping
from pathlib import Path
from queue import SimpleQueue
from time import sleep
from typing import IO, Any

import torch
import torch.distributed as dist

from simnet.calibration.hosts import measure_hosts
from simnet.costs import MeasuredCosts
from simnet.drivers.agreement import check_agreement
from simnet.drivers.communicator import Communicators
from simnet.drivers.distributed import at_once, record, warm_up
from simnet.drivers.hardware import compute_threads
from simnet.drivers.launch import FAILED, join
from simnet.drivers.local import run_local
from simnet.drivers.observer import Observer
from simnet.lab.order import ALONE, MEASURE, RUN, task, workload_of
from simnet.lab.pace import Paced
from simnet.lab.precedence import take_precedence
from simnet.lab.team import ERROR
from simnet.schedules.named import schedule as named

#: Before a run, so that all token buckets are full when it begins.
REST_S = 0.1


def main() -> None:
    """Do what the lines of stdin ask for, and report on each on stdout."""
    reports = _own_stdout()
    orders: SimpleQueue[Any] = SimpleQueue()
    threading.Thread(target=_listen, args=(orders,), daemon=True).start()
    take_precedence()
    try:
        join("cpu", int(os.environ["LOCAL_RANK"]))
        while True:
            ((what, told),) = orders.get().items()
            print(json.dumps(_ORDERS[what](told)), file=reports, flush=True)
    # A rank that lost a peer also fails; the launching process finds out which was first.
    except Exception as error:  # noqa: BLE001 - told to the launching process
        print(json.dumps({ERROR: f"{type(error).__name__}: {error}"}), file=reports, flush=True)
        os._exit(FAILED)  # threads of the transport may still wait for a peer


def measured(places: list[int]) -> list[Any]:
    """The network's measurements, of ranks on these hosts; rank 0 has the rows."""
    return [row for progress in measure_hosts(places) for row in progress.rows]


def run(told: Mapping[str, Any]) -> dict[str, float]:
    """Run and record; gives by how much paced computes overran their time, and ended late."""
    asked = task(told)
    paced = None
    if told["profile"] is not None:
        paced = Paced(MeasuredCosts.open(told["profile"]), asked.job.dtype)
    # All ranks share the cores, whatever hosts they are on.
    with torch.inference_mode(), compute_threads(asked.job.ranks):
        communicators = Communicators(asked.rehearsal.groups)
        warm_up(asked, communicators)
        dist.barrier()
        sleep(REST_S)
        record(asked, communicators, Observer(), paced or at_once)
    check_agreement(communicators.told())
    communicators.close()
    if paced is None:
        return {}
    return {"overrun_s": paced.overrun_s, "late_s": paced.late_s}


def alone(told: Mapping[str, Any]) -> None:
    """Record on rank 0 what each rank's computes take by themselves; the others rest."""
    if dist.get_rank() == 0:
        workload = workload_of(told)
        schedule = named(workload.schedule)
        run_local(schedule, workload.job(), Path(told["path"]), overwrite=True)


_ORDERS: dict[str, Callable[[Any], Any]] = {MEASURE: measured, RUN: run, ALONE: alone}


def _own_stdout() -> IO[str]:
    """What libraries print goes to stderr from here on; stdout is for reports."""
    reports = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return reports


def _listen(orders: SimpleQueue[Any]) -> None:
    """Until the launching process has gone."""
    for line in sys.stdin:
        orders.put(json.loads(line))
    os._exit(FAILED)


if __name__ == "__main__":
    main()
