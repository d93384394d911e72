"""The vectorised evaluator: one graph for any number of networks and costs at once.

It stands on two things. What a rank does, and in which order, does not depend on times. And where
no two messages cross a side of a link at the same time, each has its links to itself, and every
time follows from earlier ones by adding and comparing. That they did not is checked at each point
when the times are known: where some did, the point is refused. What remains is what the
discrete-event simulator says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from simnet.drivers.host import NO_HOST, HostCosts
from simnet.lowering.batch import Batch, gathered
from simnet.lowering.hosts import Pauses
from simnet.lowering.rounds import lowered
from simnet.lowering.tape import Recorder
from traces.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from simnet.lowering.graph import Graph
    from simnet.lowering.tape import Tape
    from simnet.network.network import Network

    Array = NDArray[np.float64]

#: Bytes that a block's rows may take: what stays in a core's own cache.
_BLOCK_BYTES = 256 * 1024
_LEAST, _MOST = 16, 512  # points of a block
#: Of a compute, the part that the simulator takes for nothing: simnet.drivers.engine.
_BEHIND = 1e-9


@dataclass(frozen=True, slots=True, eq=False)
class Evaluated:
    """At each of P points what traces.summary.Summary says, in seconds, (P,) each.

    Times are of the rank that finishes last, which is rank `last`; NaN where a point is `refused`.
    `why` has each reason for which some are, and at how many points it holds.
    """

    total_s: Array
    compute_s: Array
    exposed_s: Array
    host_s: Array
    last: NDArray[np.int64]
    refused: NDArray[np.bool_]
    why: dict[str, int]


def evaluate(
    graph: Graph,
    cost_s: ArrayLike,
    networks: Batch | Sequence[Network],
    *,
    transfer_share: ArrayLike = 0.0,
    outside_s: ArrayLike = 0.0,
    host: HostCosts = NO_HOST,
) -> Evaluated:
    """How long the graph takes on each network.

    `cost_s` are seconds of each call, (C,), or (P, C) where they differ from point to point, as
    for several GPUs. `transfer_share` and `outside_s`, a number or one for each point (P,), are
    what a transfer under way takes of the processor, and what each rank does before all else.

    Points are refused, not guessed: see Evaluated. Raises InputError for arrays of other shapes,
    for numbers that make no sense, and as `gathered` does.
    """
    batch = gathered(networks)
    costs = _costs(graph, cost_s, batch.points)
    share = _each("transfer_share", transfer_share, batch.points)
    if (share >= 1).any():
        raise InputError(f"transfer_share is {share.max()}, expected below 1")
    outside = _each("outside_s", outside_s, batch.points)
    pauses = Pauses.of(host)
    if pauses is None:
        drawn = np.ones(batch.points, np.bool_)
        times = [np.zeros(batch.points)] * 4
        return _without({_DRAWN: drawn}, times, np.zeros(batch.points, np.int64))
    chosen = lowered(graph, batch)
    slowed = bool(share.any())

    def record() -> Tape:
        return Recorder(graph, batch, chosen.rounds, pauses, slowed=slowed).tape()

    again = batch.structure is not None and not chosen.by_rates
    tape = graph.once((batch.structure, pauses, slowed), record) if again else record()
    run = _Run(graph, tape, batch, costs, share)
    run.go()
    return run.evaluated(outside, batch.refused | {_OTHERWISE: chosen.otherwise})


class _Run:
    """A tape on all points, block by block."""

    def __init__(self, graph: Graph, tape: Tape, batch: Batch, costs: Array, share: Array) -> None:
        self.tape = tape
        self.costs = costs
        self.slow = np.stack([share, _stretch(share)])
        self.counts = np.zeros_like(graph.computes) if tape.slowed else graph.computes
        self.terms = [np.stack(terms) for terms in batch.terms]  # W of (4, P)
        points = batch.points
        self.total_s, self.compute_s, self.exposed_s = (np.empty(points) for _ in range(3))
        self.last = np.empty(points, np.int64)
        self.bits = np.zeros(points, np.uint8)

    def go(self) -> None:
        """All blocks."""
        each = len(self.tape.works) + self.tape.rows + 4 * len(self.terms)
        fit = _BLOCK_BYTES // (8 * each)
        size = min(_MOST, max(_LEAST, fit // _LEAST * _LEAST))
        for begin in range(0, len(self.total_s), size):
            self._block(slice(begin, begin + size))

    def _block(self, here: slice) -> None:
        from simnet.lowering.machine import Block, play

        tape, bits = self.tape, self.bits[here]
        costs = self.costs if len(self.costs) == 1 else self.costs[here]
        rows = np.zeros((tape.rows, len(bits)))
        works = np.empty((len(tape.works), len(bits)))
        works[:] = tape.works @ costs.T
        ways = np.empty((len(self.terms), 4, len(bits)))
        for number, terms in enumerate(self.terms):
            ways[number] = terms[:, here]
        slow = np.ascontiguousarray(self.slow[:, here])
        play(tape.code, Block(tape.numbers, works, ways, slow, rows, bits))
        totals = rows[tape.totals]
        last = totals.argmax(axis=0)  # of equals the first
        place = last, np.arange(len(bits))
        computed = rows[tape.computed] + self.counts @ costs.T
        self.last[here], self.total_s[here] = last, totals[place]
        self.exposed_s[here], self.compute_s[here] = rows[tape.exposed][place], computed[place]

    def evaluated(self, outside_s: Array, refused: Mapping[str, NDArray[np.bool_]]) -> Evaluated:
        """What came out, without the points that are refused for these or other reasons."""
        from simnet.lowering.machine import AHEAD, SHARED, TIED

        found = ((SHARED, _SHARED), (AHEAD, _AHEAD), (TIED, _TIED))
        reasons = {**refused, **{why: (self.bits & bit) > 0 for bit, why in found}}
        host_s = self.total_s - self.compute_s - self.exposed_s + outside_s
        times = (self.total_s + outside_s, self.compute_s, self.exposed_s, host_s)
        return _without(reasons, times, self.last)


def _without(
    reasons: Mapping[str, NDArray[np.bool_]], times: Sequence[Array], last: NDArray[np.int64]
) -> Evaluated:
    refused = np.zeros(len(last), np.bool_)
    for where in reasons.values():
        refused |= where
    total_s, compute_s, exposed_s, host_s = (np.where(refused, np.nan, each) for each in times)
    why = {what: int(where.sum()) for what, where in reasons.items() if where.any()}
    return Evaluated(total_s, compute_s, exposed_s, host_s, last, refused, why)


def _costs(graph: Graph, cost_s: ArrayLike, points: int) -> Array:
    """As (1, C) or (P, C)."""
    costs = np.atleast_2d(np.asarray(cost_s, np.float64))
    if costs.shape not in ((1, len(graph.calls)), (points, len(graph.calls))):
        raise InputError(
            f"costs of shape {np.shape(cost_s)}, expected ({len(graph.calls)},), one for each "
            f"call, or ({points}, {len(graph.calls)}), that for each point"
        )
    if not ((costs >= 0) & np.isfinite(costs)).all():
        raise InputError("a call costs less than nothing, or no finite time")
    return costs


def _each(what: str, value: ArrayLike, points: int) -> Array:
    """As (P,); raises InputError for another shape, and for values below 0 or not finite."""
    array = np.asarray(value, np.float64)
    if array.shape not in ((), (points,)):
        raise InputError(f"{what} has shape {array.shape}, expected a number or ({points},)")
    if not ((array >= 0) & np.isfinite(array)).all():
        raise InputError(f"{what} is below 0 or not finite somewhere")
    return np.broadcast_to(array, (points,))


def _stretch(share: Array) -> Array:
    """How many times as long a compute takes that has a transfer under way all the time.

    1/(1 - share), up to where the simulator leaves off: it makes up for what was lost, then for
    what was lost meanwhile, and so on until that is nothing beside the compute.
    """
    logarithm = np.log(np.where(share > 0, share, _BEHIND))
    terms = np.ceil(np.log(_BEHIND) / logarithm)
    stretch: Array = (1 - share**terms) / (1 - share)
    return stretch


_DRAWN = "what operations take of a host, drawn at random"
_OTHERWISE = "collectives whose algorithm is chosen by the rates"
_SHARED = "messages that share a side of a link"
_AHEAD = "transfers that may begin during a compute that they slow down"
_TIED = "a wait that ends as it begins"
