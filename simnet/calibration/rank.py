"""A process that `thinwire calibrate` starts: one rank of the measurements."""

from __future__ import annotations

import json
import os
import sys
import threading
from typing import IO

import torch.distributed as dist

from simnet.calibration.measure import measure
from simnet.calibration.plan import FULL, QUICK
from simnet.drivers.launch import FAILED, join
from simnet.lab.team import ERROR


def main(effort: str, device: str) -> None:
    """Take part, and report each case on stdout if this is rank 0."""
    reports = _own_stdout()
    threading.Thread(target=_end_with_parent, daemon=True).start()
    try:
        join(device, int(os.environ["LOCAL_RANK"]))
        for progress in measure(QUICK if effort == "quick" else FULL, device):
            if dist.get_rank() == 0:
                print(json.dumps(progress), file=reports, flush=True)
        dist.destroy_process_group()
    # A rank that lost a peer also fails; the launching process finds out which was first.
    except Exception as error:  # noqa: BLE001 - told to the launching process
        print(json.dumps({ERROR: f"{type(error).__name__}: {error}"}), file=reports, flush=True)
        sys.exit(FAILED)


def _own_stdout() -> IO[str]:
    """What libraries print goes to stderr from here on; stdout is for reports."""
    reports = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    return reports


def _end_with_parent() -> None:
    sys.stdin.read()
    os._exit(FAILED)


if __name__ == "__main__":
    main(*sys.argv[1:])
