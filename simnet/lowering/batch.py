"""Many networks of one structure, side by side: the same links, other rates and latencies."""

from __future__ import annotations

import math
from collections.abc import Hashable, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np

from simnet.network.collectives.selection import RING, Posted, Selection
from simnet.network.graph import Graph
from simnet.network.path import Path, Paths
from simnet.network.topology import Islands, Links, Medium, Topology
from traces.errors import InputError

if TYPE_CHECKING:
    from numpy.typing import ArrayLike, NDArray

    from simnet.network.network import Network


class Terms(NamedTuple):
    """Of the way from one rank to another, at each of the P points, (P,) each."""

    rate_bps: NDArray[np.float64]  # of a message that has it to itself
    latency_s: NDArray[np.float64]
    message_s: NDArray[np.float64]
    ready_s: NDArray[np.float64]


class Way(NamedTuple):
    """The way from one rank to another: which of the batch's terms hold, and the sides it crosses.

    Sides that are infinitely fast at all points are left out: nobody has to share them.
    """

    terms: int
    sides: tuple[str, ...]


class Batch(Protocol):
    """P networks on which messages between two ranks cross the same sides of links."""

    @property
    def points(self) -> int:
        """P."""
        ...

    @property
    def collectives(self) -> Selection:
        """How collectives become flows, at all points."""
        ...

    @property
    def terms(self) -> Sequence[Terms]:
        """Those of the ways that were asked for."""
        ...

    @property
    def refused(self) -> dict[str, NDArray[np.bool_]]:
        """Something in the ways asked for that leaves no order fixed, and where there is, (P,)."""
        ...

    @property
    def structure(self) -> Hashable:
        """Batches with equal ones have the same ways and collectives; None: nobody knows."""
        ...

    def way(self, src: int, dst: int) -> Way:
        """From one rank to another."""
        ...

    def paths(self, point: int) -> Paths:
        """The network at a point, as far as messages go."""
        ...


class Dedicated:
    """Every rank on a full-duplex link of its own: simnet.network.topology.Links at each point."""

    def __init__(self, terms: Terms, collectives: Selection) -> None:
        self.points = len(terms.rate_bps)
        self.collectives = collectives
        self.terms = [terms]
        self.refused: dict[str, NDArray[np.bool_]] = {}
        if isinstance(collectives, Posted):
            self.refused[_CONNECTIONS] = np.ones(self.points, np.bool_)
        self.shared = bool(np.isfinite(terms.rate_bps).any())
        self.structure = ("links", collectives.name, self.shared)

    def way(self, src: int, dst: int) -> Way:
        """Out of one link and into another."""
        return Way(0, (f"rank {src} out", f"rank {dst} in") if self.shared else ())

    def paths(self, point: int) -> Paths:
        """See Batch."""
        rate_bps, *times_s = (float(term[point]) for term in self.terms[0])
        latency_s, message_s, ready_s = times_s
        return Links("links", rate_bps, latency_s, message_s, ready_s)


def dedicated(
    rate_bps: ArrayLike,
    latency_s: ArrayLike = 0.0,
    *,
    message_s: ArrayLike = 0.0,
    ready_s: ArrayLike = 0.0,
    cap_bps: ArrayLike = math.inf,
    collectives: Selection = RING,
) -> Batch:
    """`Links` with these numbers at each point; each is one number or an array (P,).

    Raises InputError for a rate that is not above 0, for a time below 0 or not finite, and for
    arrays of unlike lengths.
    """
    given = [
        np.asarray(each, np.float64) for each in (rate_bps, latency_s, message_s, ready_s, cap_bps)
    ]
    try:
        rate, latency, message, ready, cap = np.broadcast_arrays(*map(np.atleast_1d, given))
    except ValueError as error:
        raise InputError(f"a batch of links: arrays of unlike lengths: {error}") from None
    if rate.ndim > 1:
        raise InputError(f"a batch of links: rate_bps has {rate.ndim} axes, expected 1")
    for name, rates in (("rate_bps", rate), ("cap_bps", cap)):
        if not (rates > 0).all():
            raise InputError(f"a batch of links: {name} has {rates[~(rates > 0)][0]}, expected > 0")
    for name, times in (("latency_s", latency), ("message_s", message), ("ready_s", ready)):
        wrong = ~((times >= 0) & np.isfinite(times))
        if wrong.any():
            raise InputError(
                f"a batch of links: {name} has {times[wrong][0]}, expected 0 or more, finite"
            )
    return Dedicated(Terms(np.minimum(rate, cap), latency, message, ready), collectives)


def gathered(networks: Batch | Sequence[Network]) -> Batch:
    """A batch of these networks; one that is a batch already stays as it is.

    Networks that are no topologies, such as ones under conditions, are refused at their points.
    Raises InputError where there are none, and where their structures differ.
    """
    if not isinstance(networks, Sequence):
        return networks
    if not networks:
        raise InputError("no networks to evaluate on; give one or more")
    topologies = [each for each in networks if isinstance(each, Topology)]
    for each in topologies[1:]:
        if each.collectives != topologies[0].collectives or type(each) is not type(topologies[0]):
            raise InputError(
                f"networks {topologies[0].name!r} and {each.name!r} differ in kind, or in how "
                "they carry collectives; evaluate them one by one"
            )
    return Several(networks)


class Several:
    """Topologies of one structure, each made by hand."""

    def __init__(self, networks: Sequence[Network]) -> None:
        plain = [isinstance(each, Topology) for each in networks]
        stand_in = networks[plain.index(True)] if any(plain) else Links("none", math.inf)
        assert isinstance(stand_in, Links | Medium | Islands | Graph)
        self.topologies = [
            each if isinstance(each, Links | Medium | Islands | Graph) else stand_in
            for each in networks
        ]
        self.points = len(networks)
        self.collectives = stand_in.collectives
        self.terms: list[Terms] = []
        self.refused: dict[str, NDArray[np.bool_]] = {}
        self.structure = None
        self._numbers: dict[bytes, int] = {}
        self._ways: dict[tuple[int, int], Way] = {}
        self._refuse("conditions, which change with time", [not is_one for is_one in plain])
        if isinstance(self.collectives, Posted):
            self._refuse(_CONNECTIONS, [True] * self.points)

    def way(self, src: int, dst: int) -> Way:
        """See Batch; raises InputError where routes differ."""
        if (src, dst) not in self._ways:
            self._ways[src, dst] = self._way([each.path(src, dst) for each in self.topologies])
        return self._ways[src, dst]

    def paths(self, point: int) -> Paths:
        """See Batch."""
        return self.topologies[point]

    def _way(self, paths: list[Path]) -> Way:
        names = [hop.name for hop in paths[0].hops]
        for topology, path in zip(self.topologies, paths, strict=True):
            if [hop.name for hop in path.hops] != names:
                raise InputError(
                    f"networks {self.topologies[0].name!r} and {topology.name!r} have other "
                    "routes; evaluate them one by one"
                )
        self._refuse("acknowledgements", [path.acks > 0 for path in paths])
        for what in ("burst_bytes", "contention"):
            self._refuse(_HOP[what], [any(getattr(h, what) for h in p.hops) for p in paths])
        numbers = np.array([(p.alone_bps, p.latency_s, p.message_s, p.ready_s) for p in paths])
        terms = Terms(*np.ascontiguousarray(numbers.T))
        number = self._numbers.setdefault(numbers.tobytes(), len(self.terms))
        if number == len(self.terms):
            self.terms.append(terms)
        finite = dict.fromkeys(hop.name for p in paths for hop in p.hops if hop.rate_bps < math.inf)
        return Way(number, tuple(finite))

    def _refuse(self, what: str, where: list[bool]) -> None:
        if any(where):
            before = self.refused.get(what, np.zeros(self.points, np.bool_))
            self.refused[what] = before | np.array(where)


_CONNECTIONS = "connections that ranks post to (gloo-posted)"
_HOP = {"burst_bytes": "token buckets", "contention": "contention of messages at a link"}
