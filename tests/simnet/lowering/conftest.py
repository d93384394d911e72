"""Small schedules, lowered once, and what the simulator says of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import cache
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from simnet.drivers.host import NO_HOST, HostCosts
from simnet.job import Job
from simnet.lowering.evaluate import Evaluated, evaluate
from simnet.lowering.graph import Graph
from simnet.lowering.lower import lower
from simnet.lowering.simulate import simulate_graph
from simnet.network.network import Network
from simnet.schedules.named import schedule
from traces.summary import Summary, summarize

Lower = Callable[..., Graph]
Agree = Callable[..., Evaluated]


@cache
def _lowered(text: str, ranks: int, model: str, steps: int) -> Graph:
    return lower(schedule(text), Job(model, ranks=ranks, steps=steps))


@pytest.fixture(scope="session")
def small() -> Lower:
    """A schedule by name on a small model; the same graph for the same words."""

    def make(text: str, ranks: int = 4, model: str = "dit-tiny", steps: int = 3) -> Graph:
        return _lowered(text, ranks, model, steps)

    return make


@pytest.fixture(scope="session")
def unlike() -> Callable[[Graph], NDArray[np.float64]]:
    """Costs of which no two are alike, from 0.1 to a few milliseconds."""

    def make(graph: Graph) -> NDArray[np.float64]:
        places = np.arange(len(graph.calls), dtype=np.float64)
        costs: NDArray[np.float64] = 1e-4 * (1 + places * np.sqrt(places))
        return costs

    return make


@pytest.fixture(scope="session")
def agree() -> Agree:
    """Evaluates, simulates each point that is not refused, and holds one against the other."""

    def check(
        graph: Graph,
        cost_s: NDArray[np.float64],
        networks: list[Network],
        *,
        transfer_share: float = 0.0,
        outside_s: float = 0.0,
        host: HostCosts = NO_HOST,
    ) -> Evaluated:
        terms: dict[str, Any] = {
            "transfer_share": transfer_share,
            "outside_s": outside_s,
            "host": host,
        }
        found = evaluate(graph, cost_s, networks, **terms)
        for point, network in enumerate(networks):
            if found.refused[point]:
                assert math.isnan(found.total_s[point])
                continue
            summary = summarize(simulate_graph(graph, cost_s.tolist(), network, **terms))
            _hold(found, point, summary)
        return found

    return check


def _hold(found: Evaluated, point: int, summary: Summary) -> None:
    """To 1e-9 of the total; of ranks that end together either may count as the last."""
    rank = summary.ranks[found.last[point]]
    ours = (found.total_s, found.compute_s, found.exposed_s, found.host_s)
    theirs = (summary.total_s, rank.compute_s, rank.exposed_s, rank.host_s)
    near = 1e-9 * summary.total_s
    assert [float(each[point]) for each in ours] == pytest.approx(theirs, rel=0, abs=near)
