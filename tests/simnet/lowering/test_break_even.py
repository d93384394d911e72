"""Break-even rates: what bisection over the simulator finds, and all of them."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from simnet.lowering.batch import dedicated
from simnet.lowering.break_even import break_even
from simnet.lowering.evaluate import evaluate
from simnet.lowering.graph import Graph
from simnet.lowering.simulate import simulate_graph
from simnet.network.topology import Links
from traces.errors import InputError
from traces.summary import summarize

Lower = Callable[..., Graph]
Unlike = Callable[[Graph], NDArray[np.float64]]
LATENCY_S = 2e-5


def bisected(difference: Callable[[float], float], low: float, high: float) -> float:
    """Where the sign changes between two rates, to 1e-4."""
    at_low = difference(low) > 0
    while high > low * (1 + 1e-4):
        middle = math.sqrt(low * high)
        if (difference(middle) > 0) == at_low:
            low = middle
        else:
            high = middle
    return math.sqrt(low * high)


def simulated(graph: Graph, cost_s: NDArray[np.float64], rate_bps: float, share: float) -> float:
    """Total, by the discrete-event simulator."""
    links = Links("links", rate_bps, LATENCY_S)
    trace = simulate_graph(graph, cost_s.tolist(), links, transfer_share=share)
    return summarize(trace).total_s


@pytest.mark.slow
@pytest.mark.parametrize(
    ("one", "other", "share"),
    [
        ("ring", "ring/residual-1bit", 0.0),
        ("ring/int8", "ulysses", 0.087),
        ("pipefusion", "ring", 0.087),
    ],
)
def test_it_is_where_bisection_over_the_simulator_ends(
    one: str, other: str, share: float, small: Lower, unlike: Unlike
) -> None:
    """To 1e-3; costs are small enough for the network to matter. One of them is refused."""
    graphs = small(one, steps=2), small(other, steps=2)
    costs = [unlike(graph) * 0.3 for graph in graphs]
    found = break_even(
        *(graphs[0], costs[0], graphs[1], costs[1]),
        low_bps=1e5,
        high_bps=1e11,
        latency_s=LATENCY_S,
        transfer_share=share,
    )

    def difference(rate_bps: float) -> float:
        a_s, b_s = (
            simulated(graph, cost, rate_bps, share)
            for graph, cost in zip(graphs, costs, strict=True)
        )
        return a_s - b_s

    assert found
    for rate in found:
        assert bisected(difference, rate / 1.02, rate * 1.02) == pytest.approx(rate, rel=1e-3)


@pytest.mark.slow
def test_no_other_crossing_is_left_out(small: Lower, unlike: Unlike) -> None:
    """The signs on a fine grid turn where it says, and nowhere else."""
    graphs = small("ring", steps=2), small("ring/residual-1bit", steps=2)
    costs = [unlike(graph) * 0.1 for graph in graphs]
    found = break_even(*(graphs[0], costs[0], graphs[1], costs[1]), low_bps=1e5, high_bps=1e11)
    rates = np.geomspace(1e5, 1e11, 13)
    signs = [
        simulated(graphs[0], costs[0], rate, 0.0) > simulated(graphs[1], costs[1], rate, 0.0)
        for rate in rates
    ]
    turns = [low for low, one, other in zip(rates, signs, signs[1:], strict=False) if one != other]
    assert len(found) == len(turns) == 1
    assert turns[0] < found[0] < turns[0] * (rates[1] / rates[0])


def test_of_the_same_thing_there_is_none(small: Lower, unlike: Unlike) -> None:
    """Nor where one always wins."""
    graph = small("ring")
    cost = unlike(graph)
    assert break_even(graph, cost, graph, cost, low_bps=1e6, high_bps=1e9) == []
    assert break_even(graph, cost, graph, 2 * cost, low_bps=1e6, high_bps=1e9) == []


@pytest.mark.parametrize(("low", "high"), [(0.0, 1e9), (1e9, 1e8), (1e9, math.inf)])
def test_rates_that_make_no_sense_are_refused(
    low: float, high: float, small: Lower, unlike: Unlike
) -> None:
    """With both."""
    graph = small("ring")
    cost = unlike(graph)
    with pytest.raises(InputError, match="expected two finite rates above 0"):
        break_even(graph, cost, graph, cost, low_bps=low, high_bps=high)


def test_at_a_crossing_both_take_equally_long(small: Lower, unlike: Unlike) -> None:
    """To what 1e-9 of the rate makes of a total; and on either side another one is faster."""
    graphs = small("ring", steps=2), small("ring/residual-1bit", steps=2)
    costs = [unlike(graph) * 0.3 for graph in graphs]
    [rate_bps] = break_even(*(graphs[0], costs[0], graphs[1], costs[1]), low_bps=1e5, high_bps=1e11)
    rates = np.array([0.99, 1.0, 1.01]) * rate_bps
    ours, theirs = (
        evaluate(graph, cost, dedicated(rates)).total_s
        for graph, cost in zip(graphs, costs, strict=True)
    )
    assert ours[1] == pytest.approx(theirs[1], rel=1e-8)
    assert ours[0] > theirs[0]
    assert ours[2] < theirs[2]
