"""Calibrates a network of unequal hosts in seconds: rates, bursts, costs of a message.

All ranks of a live process group call `measure_hosts` together; `fit_hosts` makes a network for
the simulator of what they measured:

    for progress in measure_hosts(places):          # on every rank; rows on rank 0 only
        rows += progress.rows
    ...
    found = fit_hosts(rows, places)                 # in the process that started the ranks
    network = found.network("name")                 # a Graph

`places` is the host of each rank. Rows are plain numbers and texts, so they travel as JSON.
"""

from simnet.calibration.hosts_fit import fit_hosts
from simnet.calibration.hosts_measure import measure_hosts

__all__ = ["fit_hosts", "measure_hosts"]
