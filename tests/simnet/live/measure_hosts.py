"""One rank of a calibration of hosts; the first reports the rows on stdout."""

from __future__ import annotations

import json
import os
import sys

from simnet.calibration.hosts import measure_hosts
from simnet.drivers.launch import join

reports = os.fdopen(os.dup(1), "w")
os.dup2(2, 1)
join("cpu", 0)
for progress in measure_hosts(json.loads(sys.argv[1])):
    if progress.rows:
        print(json.dumps(progress.rows), file=reports, flush=True)
