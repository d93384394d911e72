"""The hops and ranks that conditions name: which they are, and whether there are any such."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from itertools import permutations
from typing import TYPE_CHECKING

from simnet.network.conditions.conditions import Background, Conditions, Degradation, Straggler
from simnet.network.graph import Graph
from simnet.network.path import Hop, Paths
from simnet.network.topology import Islands, Links, Medium
from traces.errors import InputError, unknown

if TYPE_CHECKING:
    from simnet.network.conditions.named import Named

_NUMBER = re.compile(r"\d{1,9}", re.ASCII)


@dataclass(frozen=True)
class Sites:
    """The hops and ranks of a topology with so many ranks; None: any number that it has room for.

    A graph has all its links, whoever uses them: an outage of one that these ranks do not cross
    does no harm. Nor does what its own file says of ranks that have a place and no part.
    """

    topology: Named
    ranks: int | None = None

    def check(self, conditions: Conditions) -> None:
        """Raises InputError, beginning with where it is from, for a condition out of place.

        That is one of a hop, or a rank, that there is none of, or of a hop of infinite rate.
        """
        for straggler in conditions.stragglers:
            self._check_rank(straggler)
        for background in conditions.background:
            self.route(background)
        for degradation in conditions.degradations:
            self.named(degradation)

    def named(self, condition: Background | Degradation) -> list[Hop]:
        """The hops that it names, each once; raises InputError as `check` does."""
        hops = []
        for name in dict.fromkeys(condition.hops):
            known = self._around_number_in(name) if self.ranks is None else self._hops
            if name not in known:
                with_ranks = "" if self.ranks is None else f" with {self.ranks} ranks"
                what = f"hop of network {self.topology.name!r}{with_ranks}:"
                raise InputError(f"{condition.where}: {unknown(what, name, known)}")
            if known[name].rate_bps == math.inf:
                raise InputError(
                    f"{condition.where}: the rate of hop {name!r} of network "
                    f"{self.topology.name!r} is infinite, so nothing can slow it down; give it a "
                    "rate"
                )
            hops.append(known[name])
        return hops

    def route(self, background: Background) -> list[Hop]:
        """The hops that it crosses and that have a finite rate; raises InputError as `check`."""
        if background.ranks is None:
            return self.named(background)
        src, dst = background.ranks
        if src == dst:
            raise InputError(f"{background.where}: from rank {src} to itself; name two ranks")
        for rank in background.ranks:
            self._check_below(self._places, rank, background.where)
        hops = [hop for hop in self.topology.path(src, dst).hops if hop.rate_bps < math.inf]
        if not hops:
            raise InputError(
                f"{background.where}: all links of network {self.topology.name!r} from rank {src} "
                f"to rank {dst} are infinite, so it takes nothing away; give them a rate"
            )
        return hops

    @property
    def _places(self) -> float:
        if isinstance(self.topology, Graph):
            return self.topology.places
        return math.inf if self.ranks is None else self.ranks

    def _check_rank(self, straggler: Straggler) -> None:
        own = self.topology.conditions
        there = self.ranks
        if there is None or (own is not None and straggler in own.stragglers):
            self._check_below(self._places, straggler.rank, straggler.where)
        else:
            self._check_below(there, straggler.rank, straggler.where)

    @staticmethod
    def _check_below(places: float, rank: int, where: str) -> None:
        if not 0 <= rank < places:
            raise InputError(f"{where}: there is no rank {rank}; expected one of 0 to {places - 1}")

    @cached_property
    def _hops(self) -> Mapping[str, Hop]:
        """All that these ranks' messages may cross, by name."""
        topology, ranks = self.topology, self.ranks or 0
        if isinstance(topology, Graph):
            return topology.hops
        if isinstance(topology, Links | Medium | Islands):
            return _by_name(hop for rank in range(ranks) for hop in _around(topology, rank))
        pairs = permutations(range(ranks), 2)
        return _by_name(hop for src, dst in pairs for hop in topology.path(src, dst).hops)

    def _around_number_in(self, name: str) -> Mapping[str, Hop]:
        """Those among which it would be: of the rank, or the island, whose number is in it."""
        if isinstance(self.topology, Graph):
            return self.topology.hops
        digits = _NUMBER.search(name)
        number = int(digits[0]) if digits else 0
        ranks = number, number * _size(self.topology)
        return _by_name(hop for rank in ranks for hop in _around(self.topology, rank))


def _by_name(hops: Iterable[Hop]) -> dict[str, Hop]:
    return {hop.name: hop for hop in hops}


def _size(topology: Paths) -> int:
    return topology.ranks_per_island if isinstance(topology, Islands) else 1


def _around(topology: Paths, rank: int) -> Iterator[Hop]:
    """From a rank up to what all share and from there down to it, where all ranks are alike.

    The first and the second half of a way far enough; a medium is both at once.
    """
    other = rank + _size(topology)
    up, down = topology.path(rank, other).hops, topology.path(other, rank).hops
    yield from up[: (len(up) + 1) // 2]
    yield from down[len(down) // 2 :]
