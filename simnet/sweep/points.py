"""From a case and some networks to times: one graph, evaluated for many networks at once."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from simnet.lowering.batch import Batch, dedicated
from simnet.lowering.evaluate import evaluate
from simnet.lowering.lower import lower
from simnet.lowering.price import price
from simnet.lowering.simulate import simulate_graph
from simnet.network.conditions.conditions import Conditions, Jitter
from simnet.network.conditions.under import Under
from simnet.network.graph import Graph as Wires
from simnet.network.topology import Islands, Links, Topology
from simnet.sweep.case import Case, Facts, facts
from simnet.sweep.design import SETTING
from simnet.sweep.store import DISCRETE_EVENT, IMPOSSIBLE, NONE, REFUSED, ROW, VECTORISED, Points
from traces.errors import InputError, RunError, ThinwireError
from traces.summary import summarize

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simnet.lowering.graph import Graph
    from simnet.network.network import Network

#: Networks as settings name them: by two halves of their digests.
Networks = dict[tuple[int, int], Topology]


class Task(NamedTuple):
    """Points of one case that are to be computed together.

    `discrete`: by the discrete-event simulator; otherwise by the vectorised evaluator, which
    refuses what it cannot do exactly.
    """

    key: str  # of the case
    case: Case
    settings: NDArray[Any]  # (M,) of SETTING
    networks: Networks
    discrete: bool


class Done(NamedTuple):
    """What came of a task: no points where the case cannot run at all."""

    facts: Facts
    points: Points


def compute(task: Task) -> Done:
    """Do a task, in whatever process this is.

    Raises RunError where this process would keep it under another key: what it says is not what
    the sweep's own version of thinwire says.
    """
    if task.case.key != task.key:
        raise RunError(
            "a worker has another version of thinwire, torch, numpy, numba or simpy than the "
            "sweep; install the same everywhere, and start the workers anew"
        )
    known = facts(task.case)
    if known.reason is not None:
        return Done(known, NONE)
    try:
        lowered(task.case)
    except ThinwireError as error:
        return Done(known._replace(reason=str(error)), NONE)
    return Done(known, (simulated if task.discrete else vectorised)(task))


@lru_cache(maxsize=2)
def lowered(case: Case) -> tuple[Graph, NDArray[np.float64]]:
    """The operation graph, and the seconds of each of its calls.

    Raises InputError or ScheduleError where the case cannot run.
    """
    graph = lower(case.made(), case.job())
    return graph, price(graph, case.cost())


def simulated(task: Task) -> Points:
    """One run after the other on the discrete-event simulator."""
    case = task.case
    graph, cost_s = lowered(case)
    rows, reasons = blank(task.settings), dict[str, int]()
    for row in rows:
        try:
            trace = simulate_graph(
                graph,
                cost_s.tolist(),
                network(task.networks, row, case.ranks),
                transfer_share=case.cost().transfer_share,
                outside_s=case.outside_s(),
            )
        except ThinwireError as error:
            row["evaluator"] = IMPOSSIBLE
            row["reason"] = reasons.setdefault(str(error), len(reasons))
            continue
        summary = summarize(trace)
        row["evaluator"] = DISCRETE_EVENT
        for name in ("total_s", "compute_s", "exposed_s"):
            row[name] = getattr(summary, name)
    return Points(rows, tuple(reasons))


def vectorised(task: Task) -> Points:
    """All that the vectorised evaluator can do; the rest is marked as refused."""
    case, rows = task.case, blank(task.settings)
    graph, cost_s = lowered(case)
    rows["evaluator"] = REFUSED
    for name, topology in task.networks.items():
        here = (rows["network_high"] == name[0]) & (rows["network_low"] == name[1])
        where = np.flatnonzero(here & (rows["jitter_s"] == 0))
        if topology.conditions or not len(where):
            continue
        try:
            done = evaluate(
                graph,
                cost_s,
                _batch(topology, rows[where]),
                transfer_share=case.cost().transfer_share,
                outside_s=case.outside_s(),
            )
        except InputError:
            continue  # the simulator says of each point what is wrong
        kept = where[~done.refused]
        rows["evaluator"][kept] = VECTORISED
        for column in ("total_s", "compute_s", "exposed_s"):
            rows[column][kept] = getattr(done, column)[~done.refused]
    return Points(rows)


def _batch(topology: Topology, rows: NDArray[Any]) -> Batch | list[Topology]:
    """A topology at the rates and latencies of these rows."""
    if type(topology) is not Links or topology.burst_bytes or topology.acks or topology.queue_bytes:
        given = rows[["bandwidth_bps", "latency_s"]].tolist()
        return [at(topology, *each) for each in given]
    own = {"bandwidth_bps": topology.rate_bps, "latency_s": topology.latency_s}
    rate_bps, latency_s = (
        np.where(np.isnan(rows[name]), value, rows[name]) for name, value in own.items()
    )
    return dedicated(
        rate_bps,
        latency_s,
        message_s=topology.message_s,
        ready_s=topology.ready_s,
        cap_bps=topology.cap_bps,
        collectives=topology.collectives,
    )


def blank(settings: NDArray[Any]) -> NDArray[Any]:
    """Rows of ROW for these settings, without times."""
    rows = np.empty(len(settings), ROW)
    for name in SETTING.names or ():
        rows[name] = settings[name]
    for name in ("total_s", "compute_s", "exposed_s"):
        rows[name] = math.nan
    rows["reason"] = -1
    return rows


def network(networks: Networks, setting: Any, ranks: int) -> Network:
    """The network of a setting, with its conditions; raises InputError for what will not do."""
    topology = networks[int(setting["network_high"]), int(setting["network_low"])]
    topology = at(topology, float(setting["bandwidth_bps"]), float(setting["latency_s"]))
    conditions = topology.conditions or Conditions()
    if setting["jitter_s"] > 0:
        conditions = conditions.joined(Conditions(Jitter(float(setting["jitter_s"]))))
    if conditions == Conditions():
        return topology
    return Under(topology, conditions, ranks, int(setting["seed"]))


def at(topology: Topology, bandwidth_bps: float, latency_s: float) -> Topology:
    """With this rate and latency, or its own where they are NaN; of islands, between them."""
    given = {"rate_bps": bandwidth_bps, "latency_s": latency_s}
    changed: dict[str, Any] = {
        name: value for name, value in given.items() if not math.isnan(value)
    }
    if not changed:
        return topology
    assert not isinstance(topology, Wires)  # refused when the file was read
    if isinstance(topology, Islands):
        return replace(topology, between=replace(topology.between, **changed))
    return replace(topology, **changed)
