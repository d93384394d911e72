"""Makes a network for the simulator of what `measure_hosts` measured: links per host, and costs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import simpy

from simnet.calibration.cells import typical_s
from simnet.calibration.hosts_measure import BOTH_WAYS, COLLECTIVES, ONE_WAY, leaders
from simnet.network.collectives.selection import GLOO_POSTED
from simnet.network.graph import Graph
from simnet.network.link import Link
from simnet.network.network import Exchange, Line
from traces.errors import InputError
from traces.units import bits

#: What of a connection stands before a message of another one in front of a busy link: what TCP
#: sends at once after a pause, ten packets (RFC 6928). Later up to 128 kB queue there (TCP small
#: queues), but runs are as fast as if readiness did not wait for that: docs/accuracy.md.
QUEUE_BYTES = 10 * 1448
#: TCP acknowledges every other packet (RFC 5681, section 4.2): 66 bytes, as the link counts them,
#: for two packets with 1448 bytes of payload.
ACKS = 66 / (2 * 1448)
_ALIKE = 0.03  # rates of links that differ by less are the same, as far as can be told
_LEAST_S = 1e-9

Rows = Iterable[Mapping[str, Any]]


class Costs(NamedTuple):
    """Of a message beside its bytes."""

    latency_s: float
    message_s: float
    ready_s: float


class Uplink(NamedTuple):
    """A host's link: payload each way, and what passes at once after a rest."""

    rate_bps: float
    burst_bytes: float


class Beside(NamedTuple):
    """A collective's time, typical of its repetitions, and what the fitted network makes of it."""

    kind: str
    nbytes: int
    measured_s: float
    predicted_s: float

    @property
    def error(self) -> float:
        """Of the prediction, as a part of the measurement."""
        return self.predicted_s / self.measured_s - 1


@dataclass(frozen=True)
class HostsCalibration:
    """What fits a network of hosts; None where there is no such link.

    `beside` holds exchanges against it, none of which was used to fit it.
    """

    places: tuple[int, ...]
    uplinks: tuple[Uplink, ...]
    across: Costs | None
    inside: Costs | None
    inside_bps: float | None
    beside: tuple[Beside, ...] = ()

    def network(self, name: str, source: Mapping[str, Any] | None = None) -> Graph:
        """For the simulator; `source` is what is known of the measurements."""
        ranks = tuple(f"rank{rank}" for rank in range(len(self.places)))
        shared = {host for host in self.places if self.places.count(host) > 1}
        nodes = {host: f"host{host}" for host in shared}
        links = [
            self._slot(rank, nodes[host]) for rank, host in enumerate(self.places) if host in shared
        ]
        for host, uplink in enumerate(self.uplinks):
            node = nodes.get(host, ranks[self.places.index(host)])
            slot = self.inside if host in shared and self.inside else Costs(0.0, 0.0, 0.0)
            links.append(self._uplink(f"uplink{host}", (node, "switch"), uplink, slot))
        return Graph(name, ranks, tuple(links), collectives=GLOO_POSTED, source=source or {})

    def to_json(self) -> dict[str, Any]:
        """Plain numbers."""
        return {
            "places": list(self.places),
            "uplinks": [uplink._asdict() for uplink in self.uplinks],
            "across": self.across._asdict() if self.across else None,
            "inside": self.inside._asdict() if self.inside else None,
            "inside_bps": self.inside_bps,
            "collectives": [each._asdict() | {"error": each.error} for each in self.beside],
        }

    def _slot(self, rank: int, node: str) -> Link:
        """Half of the way between two ranks of a host."""
        assert self.inside is not None
        assert self.inside_bps is not None
        latency_s, message_s, ready_s = (value / 2 for value in self.inside)
        return Link(
            f"slot{rank}",
            (f"rank{rank}", node),
            self.inside_bps,
            latency_s=latency_s,
            message_s=message_s,
            ready_s=ready_s,
        )

    def _uplink(self, name: str, ends: tuple[str, str], uplink: Uplink, slot: Costs) -> Link:
        """Half of the way between two hosts, without what a slot has of it."""
        assert self.across is not None
        pairs = zip(self.across, slot, strict=True)
        latency_s, message_s, ready_s = (max(0.0, whole - inside) / 2 for whole, inside in pairs)
        return Link(
            name,
            ends,
            uplink.rate_bps,
            burst_bytes=uplink.burst_bytes,
            acks=ACKS,
            queue_bytes=QUEUE_BYTES,
            latency_s=latency_s,
            message_s=message_s,
            ready_s=ready_s,
        )


def fit_hosts(rows: Rows, places: Sequence[int]) -> HostsCalibration:
    """The links of each host, and what messages cost, from the rows of `measure_hosts`.

    `places` is the host of each rank, as it was measured. Raises InputError for rows that lack
    what a fit needs.
    """
    times = _times(rows)
    first = leaders(places)
    across = inside = inside_bps = None
    uplinks: tuple[Uplink, ...] = ()
    if len(first) > 1:
        across = _costs(times, (first[0], first[1]))
        pairs = _pairs(times, across)
        uplinks = tuple(_uplink(pairs, rank) for rank in first)
    shared = [pair for kind, pair, _ in times if kind == "ping" and _together(places, pair)]
    if shared:
        inside = _costs(times, shared[0])
        inside_bps = _inside_bps(times, shared[0], inside)
    fitted = HostsCalibration(tuple(places), uplinks, across, inside, inside_bps)
    return replace(fitted, beside=tuple(_beside(rows, fitted)))


#: Seconds, typical of the repetitions, by kind, ranks and bytes.
Times = dict[tuple[str, tuple[int, ...], int], float]


def _times(rows: Rows) -> Times:
    found: dict[tuple[str, tuple[int, ...], int], list[float]] = {}
    for row in rows:
        ranks = tuple(map(int, row["ranks"].split(",")))
        found.setdefault((row["kind"], ranks, int(row["bytes"])), []).append(row["seconds"])
    # Messages of a byte take no longer than they must in the best quarter, whatever else runs here.
    return {
        key: float(np.quantile(values, 0.25) if key[2] == 1 else typical_s(np.array(values)))
        for key, values in found.items()
    }


def _together(places: Sequence[int], pair: tuple[int, ...]) -> bool:
    return places[pair[0]] == places[pair[1]]


def _costs(times: Times, pair: tuple[int, ...]) -> Costs:
    """From messages of one byte: there and back, 32 in a row, and to a receiver that is late.

    The last is a note and the data that it calls for, so a note takes half of it.
    """
    try:
        ping, row, late = (times[kind, pair, 1] for kind in ("ping", "stream", "late"))
    except KeyError as error:
        raise InputError(f"measurements: {error.args[0][0]} of ranks {pair} is missing") from error
    message_s = max(0.0, (row - ping) / 31)
    latency_s = max(0.0, ping / 2 - message_s)
    return Costs(latency_s, message_s, late / 2)


def _pairs(times: Times, across: Costs) -> dict[tuple[int, ...], Uplink]:
    """Rate and burst of the way between two hosts, from messages of two sizes."""
    sizes: dict[tuple[int, ...], list[tuple[int, float]]] = {}
    for (kind, ranks, nbytes), seconds in times.items():
        if kind == ONE_WAY:
            sizes.setdefault(ranks, []).append((nbytes, seconds))
    found = {}
    for ranks, measured in sizes.items():
        (few, short_s), (many, long_s) = min(measured), max(measured)
        byte_s = max(long_s - short_s, _LEAST_S) / max(1, many - few)
        passed = (short_s - across.latency_s - across.message_s) / byte_s
        found[ranks] = Uplink(bits(1) / byte_s, min(max(0.0, few - passed), float(few)))
    if not found:
        raise InputError("measurements: there are no messages between hosts")
    return found


def _uplink(pairs: Mapping[tuple[int, ...], Uplink], rank: int) -> Uplink:
    """A host's link is as fast as its fastest way to another host."""
    ways = [way for ranks, way in pairs.items() if rank in ranks]
    fastest = max(way.rate_bps for way in ways)
    alike = [way for way in pairs.values() if abs(way.rate_bps / fastest - 1) < _ALIKE]
    return Uplink(*(float(np.median(column)) for column in zip(*alike, strict=True)))


def _inside_bps(times: Times, pair: tuple[int, ...], costs: Costs) -> float:
    nbytes, seconds = max(
        (n, s) for (kind, p, n), s in times.items() if (kind, p) == ("ping", pair)
    )
    if nbytes == 1:
        raise InputError(f"measurements: ping of ranks {pair} has one byte only; add a large one")
    return bits(nbytes) / max(_LEAST_S, seconds - 2 * (costs.latency_s + costs.message_s))


def _beside(rows: Rows, fitted: HostsCalibration) -> Iterable[Beside]:
    """Exchanges on rested links, begun when each rank really began."""
    network = fitted.network("fitted")
    for kind in (BOTH_WAYS, *COLLECTIVES):
        runs = [row for row in rows if row["kind"] == kind]
        if runs:
            predicted = [_simulated_s(kind, row, network) for row in runs]
            measured = [row["seconds"] for row in runs]
            medians = float(np.median(measured)), float(np.median(predicted))
            yield Beside(kind, int(runs[0]["bytes"]), *medians)


def _simulated_s(kind: str, row: Mapping[str, Any], network: Graph) -> float:
    env = simpy.Environment()
    traffic = network.traffic(env)
    since_s = tuple(map(float, row["starts_s"]))
    ranks = tuple(map(int, row["ranks"].split(",")))
    env.run(env.timeout(max(since_s)))

    def exchange(kind: str, ranks: tuple[int, ...], since_s: tuple[float, ...]) -> Exchange:
        return Exchange(kind, ranks, int(row["bytes"]), Line("world", ranks), 0, since_s)

    if kind == BOTH_WAYS:
        exchanges = [exchange("send", ranks[::way], since_s[::way]) for way in (1, -1)]
    else:
        exchanges = [exchange(kind, ranks, since_s)]
    env.run(env.all_of([event for each in exchanges for event in traffic.carry(each)]))
    return float(env.now) - max(since_s)
