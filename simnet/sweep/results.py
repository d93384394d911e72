"""A sweep's results, case after case, as they stand in the store."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from simnet.network.topology import Islands, Topology
from simnet.sweep.case import Facts
from simnet.sweep.design import Design, Group
from simnet.sweep.points import blank
from simnet.sweep.store import IMPOSSIBLE, Store
from traces.errors import RunError

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: What a point's times are from, as results say it; by its number in the store.
EVALUATORS = ("", "vectorised", "discrete-event", "none")


@dataclass(frozen=True, eq=False)
class Outcome:
    """What came of a case's M points; `rows` (M,) are of store.ROW, in the order of the group."""

    group: Group
    facts: Facts
    rows: NDArray[Any]
    reasons: tuple[str, ...]

    def part(self, which: slice) -> Outcome:
        """Of some of the points."""
        of = self.group
        group = Group(of.case, of.at, of.points[which], of.network[which], of.settings[which])
        return Outcome(group, self.facts, self.rows[which], self.reasons)


def outcomes(design: Design, store: Store) -> Iterator[Outcome]:
    """All of a sweep that is done, in the order of its groups.

    Raises RunError where something is missing, such as when the store is emptied meanwhile.
    """
    for group in design.groups():
        key = group.case.key
        facts = store.facts(key)
        if facts is None:
            raise RunError(f"{store.folder}: results are gone that were there; sweep again")
        if facts.reason is not None:
            yield _impossible(group, facts)
            continue
        found = store.found(key)
        there, rows = found(group.settings)
        if not there.all():
            raise RunError(f"{store.folder}: results are gone that were there; sweep again")
        yield Outcome(group, facts, rows, found.reasons)


def _impossible(group: Group, facts: Facts) -> Outcome:
    rows = blank(group.settings)
    rows["evaluator"], rows["reason"] = IMPOSSIBLE, 0
    return Outcome(group, facts, rows, (str(facts.reason),))


def bandwidth_bps(design: Design, group: Group) -> NDArray[np.float64]:
    """Of each point's links (M,): as set, or the network's own; NaN of a graph of many links."""
    return _own(design, group, "bandwidth_bps", "rate_bps")


def latency_s(design: Design, group: Group) -> NDArray[np.float64]:
    """Of each point's links (M,), as for bandwidth_bps."""
    return _own(design, group, "latency_s", "latency_s")


def _own(design: Design, group: Group, column: str, field: str) -> NDArray[np.float64]:
    own = np.array([_number(network, field) for network in design.networks])
    given = group.settings[column]
    return np.where(np.isnan(given), own[group.network], given)


def _number(network: Topology, field: str) -> float:
    """Of islands, the link between them."""
    link = network.between if isinstance(network, Islands) else network
    return float(getattr(link, field, np.nan))
