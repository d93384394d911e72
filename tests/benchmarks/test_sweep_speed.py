"""How fast the vectorised evaluator is, against the discrete-event simulator in the same run.

Each prints its number beside the bar it must clear. Compiling the machine, which is kept on disk,
is timed by itself.
"""

from __future__ import annotations

import json
import subprocess
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time

import numpy as np
import pytest
from numpy.typing import NDArray

from simnet.costs import Roofline
from simnet.devices import device
from simnet.job import Job
from simnet.lowering.batch import Batch, dedicated
from simnet.lowering.evaluate import Evaluated, evaluate
from simnet.lowering.graph import MOVE, Graph
from simnet.lowering.lower import lower
from simnet.lowering.price import price
from simnet.lowering.simulate import simulate_graph
from simnet.network.topology import Links
from simnet.schedules.named import on_gpu, schedule
from simnet.validation import simgrid_process
from traces.summary import summarize
from traces.units import bits

pytestmark = pytest.mark.bench

SCRIPT = Path(__file__).with_name("simgrid_graph.py")
COST = Roofline(device("l20"))
LATENCY_S = 50e-6


def report(what: str, value: str, bar: str) -> None:
    """On a line of its own, past pytest's dots."""
    print(f"\n{what}: {value} (bar: {bar})", end="")


def flux(steps: int = 28) -> Graph:
    """FLUX.1-dev on 4 ranks, ring with 1-bit residuals."""
    chosen = on_gpu(schedule("ring/residual-1bit"))
    return lower(chosen, Job("flux.1-dev", ranks=4, steps=steps, dtype="bfloat16"))


@pytest.fixture(scope="module")
def ring() -> Graph:
    """The graph of all 28 steps, with the machine compiled."""
    graph = flux()
    began_s = perf_counter()
    at_rates(graph, np.array([1e9]))
    report("first evaluation, compiling included", f"{perf_counter() - began_s:.1f} s", "none")
    graph.kept.clear()
    return graph


def at_rates(graph: Graph, rates: NDArray[np.float64], share: float = 0.0) -> Evaluated:
    """The graph on links of these rates."""
    batch = dedicated(rates, LATENCY_S)
    return evaluate(graph, price(graph, COST), batch, transfer_share=share)


def best_s(work: Callable[[], object], times: int = 3) -> float:
    """Processor time of the run that took least of it: one thread does all."""
    took_s = []
    for _ in range(times):
        began_s = process_time()
        work()
        took_s.append(process_time() - began_s)
    return min(took_s)


def test_lowering_flux_takes_5_s() -> None:
    """28 steps, 4 ranks, ring with 1-bit residuals; the best of three, after import."""
    best = best_s(flux)
    report("lowering FLUX.1-dev, 28 steps, 4 ranks", f"{best:.2f} s", "5 s")
    assert best <= 5


@pytest.mark.timeout(600)
@pytest.mark.parametrize("share", [0.0, COST.transfer_share], ids=["alone", "slowed"])
def test_a_thousand_bandwidths_take_2_s_and_a_200th_of_simulating_them(
    ring: Graph, share: float
) -> None:
    """The tape's recording included. Three discrete-event runs stand for a thousand."""
    rates = np.geomspace(1e8, 1e12, 1000)

    def once() -> None:
        ring.kept.clear()
        at_rates(ring, rates, share)

    vector_s = best_s(once)
    found = at_rates(ring, rates, share)
    assert not found.refused.any()
    costs, took_s = price(ring, COST).tolist(), []
    for point in (0, 500, 999):
        links = Links("links", float(rates[point]), LATENCY_S)
        began_s = process_time()
        trace = simulate_graph(ring, costs, links, transfer_share=share)
        took_s.append(process_time() - began_s)
        assert found.total_s[point] == pytest.approx(summarize(trace).total_s, rel=1e-9)
    ratio = 1000 * min(took_s) / vector_s
    what = f"1,000 bandwidths x {len(ring)} operations, transfers take {share:.3f}"
    report(what, f"{vector_s:.2f} s, {ratio:.0f} times as fast as discrete events", "2 s, 200")
    assert vector_s <= 2
    assert ratio >= 200


@pytest.mark.parametrize("share", [0.0, COST.transfer_share], ids=["alone", "slowed"])
def test_30_million_operations_are_evaluated_a_second(ring: Graph, share: float) -> None:
    """On one core, of a tape that is there."""
    rates = np.geomspace(1e8, 1e12, 1000)
    at_rates(ring, rates[:1], share)
    each_s = best_s(lambda: at_rates(ring, rates, share))
    millions = 1e-6 * len(ring) * len(rates) / each_s
    report(f"operations a second, transfers take {share:.3f}", f"{millions:.0f} million", "30")
    assert millions >= 30


@pytest.mark.timeout(600)
def test_a_point_costs_the_same_from_a_thousand_to_a_million() -> None:
    """Within a fifth of the middle; and the memory beside the results is that of a block."""
    graph = flux(1)
    costs = price(graph, COST)
    evaluate(graph, costs, dedicated([1e9], LATENCY_S))
    points_s, peaks = {}, {}
    for points in (10**3, 10**4, 10**5, 10**6):
        batch = dedicated(np.geomspace(1e8, 1e12, points), LATENCY_S)

        def several(batch: Batch = batch, again: int = max(1, 10**5 // points)) -> None:
            for _ in range(again):
                evaluate(graph, costs, batch)

        points_s[points] = best_s(several, 2) / max(points, 10**5)
        tracemalloc.start()
        evaluate(graph, costs, batch)
        peaks[points] = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
    shown = ", ".join(f"{1e6 * each_s:.2f}" for each_s in points_s.values())
    report("microseconds a point, 10^3 to 10^6 points", shown, "20 % apart")
    report("memory at 10^6 points", f"{peaks[10**6] / 1e6:.0f} MB", "200 bytes a point, 20 MB")
    middle_s = float(np.median(list(points_s.values())))
    assert all(each_s == pytest.approx(middle_s, rel=0.2) for each_s in points_s.values())
    assert peaks[10**6] <= 200 * 10**6 + 20e6


@pytest.mark.timeout(600)
def test_1024_ranks_are_lowered_and_evaluated() -> None:
    """256 images, each on a ring of 4 ranks."""
    job = Job("dit-nano", ranks=1024, steps=2)
    began_s = process_time()
    graph = lower(schedule("data:images=256+ring"), job)
    lowered_s = process_time() - began_s
    costs, rates = np.full(len(graph.calls), 1e-4), np.geomspace(1e6, 1e9, 16)
    began_s = process_time()
    found = evaluate(graph, costs, dedicated(rates, 1e-5))
    evaluated_s = process_time() - began_s
    few = lower(schedule("ring"), Job("dit-nano", ranks=4, steps=2))
    alone = evaluate(few, costs, dedicated(rates, 1e-5))
    assert found.total_s == pytest.approx(alone.total_s, rel=1e-12)
    value = f"lowered in {lowered_s:.1f} s, 16 points in {evaluated_s:.1f} s"
    report(f"1,024 ranks, {len(graph)} operations", value, "none")


@pytest.mark.timeout(600)
def test_the_same_graph_in_simgrid() -> None:
    """Where it is installed; one point each, four steps. Told only."""
    python = simgrid_process.interpreter()
    if python is None:
        report("a ring in SimGrid", "skipped, SimGrid is not installed", "none")
        pytest.skip("SimGrid is not installed")
    graph, rate_bps = flux(4), 1e9
    costs = price(graph, COST)
    ranks = [
        [[kind, graph.moves[what].nbytes if kind == MOVE else what] for kind, what, *_ in program]
        for program in map(graph.program, range(graph.ranks))
    ]
    told = {"rate": rate_bps / bits(1), "costs": costs.tolist(), "ranks": ranks}
    done = subprocess.run(
        [python, str(SCRIPT)], input=json.dumps(told), capture_output=True, text=True, check=True
    )
    theirs = json.loads(done.stdout)
    rates = np.full(1000, rate_bps)
    ours = evaluate(graph, costs, dedicated(rates))
    ours_s = best_s(lambda: evaluate(graph, costs, dedicated(rates))) / len(rates)
    assert ours.total_s[0] == pytest.approx(theirs["total_s"], rel=1e-6)
    value = f"{theirs['wall_s']:.2f} s a point there, {1e3 * ours_s:.3f} ms here"
    report(f"a ring of {len(graph)} operations in SimGrid", value, "none")
    report("which is", f"{theirs['wall_s'] / ours_s:.0f} times as fast", "none")
