"""What the simulator says of a collective on these links, to hold measurements against."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import simpy

from simnet.calibration.cells import Cell
from simnet.network.network import Exchange, Line
from simnet.network.topology import Links


class Prediction(NamedTuple):
    """Seconds of a collective; `bytes_s` of them are for its bytes."""

    total_s: float
    bytes_s: float


def predict(cell: Cell, links: Links) -> Prediction:
    """Alone on these links."""
    total_s = _simulate(cell, links)
    free = dataclasses.replace(links, latency_s=0.0, message_s=0.0, ready_s=0.0)
    return Prediction(total_s, min(total_s, _simulate(cell, free)))


def _simulate(cell: Cell, links: Links) -> float:
    env = simpy.Environment()
    line = Line("world", cell.ranks)
    since_s = (0.0,) * len(cell.ranks)
    exchange = Exchange(cell.kind, cell.ranks, cell.nbytes, line, 0, since_s)
    env.run(env.all_of(links.traffic(env).carry(exchange)))
    return float(env.now)
