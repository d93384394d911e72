"""What the exchanges of a graph become on a batch of networks: rounds of flows."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from simnet.network.path import Path

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from simnet.lowering.batch import Batch
    from simnet.lowering.graph import Graph
    from simnet.lowering.matching import Load
    from simnet.network.collectives.flow import Round
    from simnet.network.path import Paths

#: Points for which a selection that goes by rates is asked one by one.
_MOST_ASKED = 256


class Lowered(NamedTuple):
    """The rounds of each load, and the points (P,) at which other ones would be chosen."""

    rounds: dict[Load, list[Round]]
    otherwise: NDArray[np.bool_]
    by_rates: bool  # whether the choice goes by rates


class _AskedError(Exception):
    """A selection wants to know a path."""


class _Nobody:
    """No paths at all: to find out whether a choice depends on them."""

    def path(self, src: int, dst: int) -> Path:
        """None."""
        raise _AskedError(src, dst)


def lowered(graph: Graph, batch: Batch) -> Lowered:
    """By the batch's selection; where that goes by rates, as at the first point.

    It is then asked at each point, up to a few hundred; of more, none counts as chosen alike.
    """
    rounds: dict[Load, list[Round]] = {}
    otherwise, by_rates = np.zeros(batch.points, np.bool_), False
    for load in graph.loads:
        try:
            rounds[load] = _rounds(load, batch, _Nobody())
        except _AskedError:
            by_rates = True
            rounds[load] = _rounds(load, batch, batch.paths(0))
            otherwise |= _unlike(load, batch, rounds[load])
    return Lowered(rounds, otherwise, by_rates)


def _unlike(load: Load, batch: Batch, first: list[Round]) -> NDArray[np.bool_]:
    if batch.points > _MOST_ASKED:
        return np.ones(batch.points, np.bool_)
    chosen = (_rounds(load, batch, batch.paths(point)) for point in range(batch.points))
    return np.array([rounds != first for rounds in chosen])


def _rounds(load: Load, batch: Batch, paths: Paths) -> list[Round]:
    if load.sizes is not None:
        return batch.collectives.uneven(load.ranks, load.sizes)
    return batch.collectives.rounds(load.kind, load.ranks, load.nbytes, paths)
