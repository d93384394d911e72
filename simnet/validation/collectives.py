"""Collectives on three small topologies, and how long ASTRA-sim says they take, beside ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path as File
from typing import NamedTuple

import simpy

from simnet.network.carriage import Carrier
from simnet.network.collectives.selection import ALGORITHMS, Fixed
from simnet.network.network import Exchange, Line
from simnet.network.path import Hop, Path
from simnet.validation.lines import lines
from traces.errors import InputError, unknown
from traces.units import bits

SUITE = "collectives"
DATA = File(__file__).with_name("data") / "astra_sim_collectives.csv"

#: Largest error, relative to ASTRA-sim's time, where both models mean the same thing; and of the
#: formulas of the differences, where they do not. ASTRA-sim's whole nanoseconds make up to 1e-3.
LIMIT = 0.01


class Case(NamedTuple):
    """One collective, alone on an idle network, and how long it takes in ASTRA-sim."""

    where: str  # file and line
    topology: str
    npus: int
    rate_bps: float  # of a link
    latency_s: float  # of a link
    kind: str
    algorithm: str
    nbytes: int  # all_gather: of a shard; otherwise of the whole buffer
    theirs_s: float


class Row(NamedTuple):
    """A case in both simulators.

    `error` is relative to their time. Where the models mean different things, `reason` is a key of
    DIFFERENCES, and `adjusted_s` what its formula makes of our time; elsewhere `reason` is empty
    and `adjusted_s` is our time.
    """

    case: Case
    ours_s: float
    theirs_s: float
    error: float
    reason: str
    adjusted_s: float
    adjusted_error: float

    @property
    def comparable(self) -> bool:
        """Whether both models mean the same thing."""
        return not self.reason


@dataclass(frozen=True)
class Wiring:
    """So many ranks, on links of one rate and latency."""

    case: Case

    @property
    def collectives(self) -> Fixed:
        """The case's algorithm, and no other."""
        kind, name = self.case.kind, self.case.algorithm
        return Fixed(name, {kind: ALGORITHMS[kind][name]})

    def hops(self, src: int, dst: int) -> list[str]:
        """The links that a message crosses."""
        raise NotImplementedError

    def path(self, src: int, dst: int) -> Path:
        """These links, each with its latency."""
        hops = tuple(Hop(name, self.case.rate_bps) for name in self.hops(src, dst))
        return Path(hops, self.case.latency_s * len(hops))


class FullyConnected(Wiring):
    """A link of its own for each ordered pair of ranks."""

    def hops(self, src: int, dst: int) -> list[str]:
        """That link."""
        return [f"{src} to {dst}"]


class Switch(Wiring):
    """Every rank on a full-duplex link to one switch."""

    def hops(self, src: int, dst: int) -> list[str]:
        """To the switch and from it."""
        return [f"{src} out", f"{dst} in"]


class Ring(Wiring):
    """Links between neighbours, one each way."""

    def hops(self, src: int, dst: int) -> list[str]:
        """The shortest way round; to the rank opposite, upwards."""
        npus = self.case.npus
        up = (dst - src) % npus
        by, count = (1, up) if 2 * up <= npus else (-1, npus - up)
        return [f"{(src + by * k) % npus} to {(src + by * (k + 1)) % npus}" for k in range(count)]


TOPOLOGIES: Mapping[str, type[Wiring]] = {
    "FullyConnected": FullyConnected,
    "Switch": Switch,
    "Ring": Ring,
}

#: What ASTRA-sim's model means otherwise: the sentence for people, and see `_adjusted` for the
#: formula. L is a link's latency, m what one message's bytes take on a link.
DIFFERENCES: Mapping[str, str] = {
    "stored at the switch": (
        "ASTRA-sim sends a message on from the switch when all of it is there; here its bits go "
        "through. Theirs = ours + m in each round"
    ),
    "stored at each NPU": (
        "ASTRA-sim sends a message on from an NPU when all of it is there, first come first "
        "served; here its bits go through, at a fair share. A round with messages over up to D = "
        "NPUs/2 links takes the largest over k = 1..D of (D + 1 - k) L + (D + (D - 1) + ... + "
        "(D + 1 - k) + D - k) m; ours takes D L + D (D + 1)/2 m"
    ),
}


def compare(cases: Sequence[Case]) -> list[Row]:
    """Simulate all cases; a row for each, in the order of the file."""
    return [_row(case, seconds(case)) for case in cases]


def seconds(case: Case) -> float:
    """How long it takes here, until the last rank is done."""
    env = simpy.Environment()
    ranks = tuple(range(case.npus))
    exchange = Exchange(
        case.kind, ranks, case.nbytes, Line("world", ranks), 0, since_s=(0.0,) * case.npus
    )
    Carrier(TOPOLOGIES[case.topology](case), env).carry(exchange)
    env.run()
    return float(env.now)


def _row(case: Case, ours_s: float) -> Row:
    reason = _reason(case)
    adjusted_s = _adjusted(case, ours_s, reason)
    errors = [abs(time_s - case.theirs_s) / case.theirs_s for time_s in (ours_s, adjusted_s)]
    return Row(case, ours_s, case.theirs_s, errors[0], reason, adjusted_s, errors[1])


def _reason(case: Case) -> str:
    """The models are one where each message crosses one link, which it has to itself."""
    if case.topology == "Switch":
        return "stored at the switch"
    if case.topology == "Ring" and case.algorithm == "direct" and case.npus // 2 > 1:
        return "stored at each NPU"
    return ""


def _adjusted(case: Case, ours_s: float, reason: str) -> float:
    """Our time with their meaning."""
    if not reason:
        return ours_s
    rounds = ALGORITHMS[case.kind][case.algorithm](range(case.npus), case.nbytes)
    message_s = bits(rounds[0][0].nbytes) / case.rate_bps
    if reason == "stored at the switch":
        return ours_s + len(rounds) * message_s
    return len(rounds) * _stored(case.npus // 2, message_s, case.latency_s)


def _stored(farthest: int, message_s: float, latency_s: float) -> float:
    """A round of direct messages on a ring in which they are stored at each NPU.

    An NPU posts them nearest first. On the way of the farthest one, which is the last in each
    queue, k hops are taken up by all the messages that go as far, and on the others the queue has
    run dry: it pays its latency and only its own bytes.
    """
    return max(
        (farthest + 1 - busy) * latency_s
        + (sum(farthest - hop for hop in range(busy)) + farthest - busy) * message_s
        for busy in range(1, farthest + 1)
    )


_COLUMNS = (
    *("topology", "npus", "bandwidth_GBps", "latency_ns"),
    *("collective", "algorithm", "bytes_per_npu", "time_ns"),
)
_KINDS = {
    kind.replace("_", "-"): kind
    for kind in ("all_gather", "all_reduce", "all_to_all", "reduce_scatter")
}
_GIBI = 2**30  # ASTRA-sim's "GB"
_NANO = 1e-9
_LEAST, _MOST, _MOST_NPUS = 1e-15, 10**15, 1024  # what makes no infinite times


def load(path: File | None = None) -> list[Case]:
    """Cases from a CSV file of the form that data/collectives.md describes; by default that one.

    Further columns are the file's own affair. Raises InputError naming the file, the line and the
    column that is missing or makes no sense.
    """
    path = DATA if path is None else path
    cases = [_case(cells, where) for cells, where in lines(path, _COLUMNS, "collectives")]
    if not cases:
        raise InputError(f"{path}: expected at least one collective below the header")
    return cases


def _case(cells: Mapping[str, str], where: str) -> Case:
    kind = _KINDS[_known(cells, "collective", _KINDS, where)]
    return Case(
        where,
        topology=_known(cells, "topology", TOPOLOGIES, where),
        npus=_count(cells, "npus", where, 2, _MOST_NPUS),
        rate_bps=bits(_number(cells, "bandwidth_GBps", where) * _GIBI),
        latency_s=_number(cells, "latency_ns", where, zero=True) * _NANO,
        kind=kind,
        algorithm=_known(cells, "algorithm", ("direct", "ring"), where),
        nbytes=_count(cells, "bytes_per_npu", where, 1, _MOST),
        theirs_s=_number(cells, "time_ns", where) * _NANO,
    )


def _known(
    cells: Mapping[str, str], column: str, known: Mapping[str, object] | Sequence[str], where: str
) -> str:
    if cells[column] not in known:
        raise InputError(f"{where}: {unknown(column, cells[column], known)}")
    return cells[column]


def _number(cells: Mapping[str, str], column: str, where: str, *, zero: bool = False) -> float:
    try:
        number = float(cells[column])
    except ValueError:
        raise InputError(f"{where}: {column} is {cells[column]!r}, expected a number") from None
    if not (_LEAST <= number <= _MOST or (zero and number == 0)):
        least = "0 or more" if zero else "above 0"
        raise InputError(f"{where}: {column} is {number}, expected {least}, at most {_MOST:g}")
    return number


def _count(cells: Mapping[str, str], column: str, where: str, least: int, most: int) -> int:
    number = _number(cells, column, where)
    if not (least <= number <= most and number.is_integer()):
        raise InputError(
            f"{where}: {column} is {cells[column]!r}, expected a whole number, {least} to {most}"
        )
    return int(number)
