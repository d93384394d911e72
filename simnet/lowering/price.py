"""What a graph's calls take by a cost model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simnet.costs import CostModel
    from simnet.lowering.graph import Graph


def price(graph: Graph, cost: CostModel) -> NDArray[np.float64]:
    """Seconds of each of the graph's calls by itself, (C,).

    What transfers take from computes (`cost.transfer_share`), and what comes outside the steps, go
    to an evaluator beside it. Raises what the cost model raises for calls that it cannot cost.
    """
    return np.array([cost.seconds(call) for call in graph.calls], np.float64)
