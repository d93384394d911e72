"""What a faster network, or more GPUs, would bring: the fastest plan there, beside that of here."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from analysis.plan.networks import described, rate_bps, scaled
from analysis.plan.quality import Source
from analysis.plan.search import Budget, Line, line, search
from analysis.plan.setting import Setting
from analysis.plan.space import plans
from analysis.plan.steady import Clock
from simnet.network.topology import Topology
from traces.errors import InputError

#: Plans that are tried on another network: the fastest ones here.
FASTEST = 6
#: Links that are faster, by what they are called: factors of their rate and their latency.
LINKS = {"links twice as fast": (2.0, 1.0), "half the latency": (1.0, 0.5)}


class Upgrade(NamedTuple):
    """Something that could be bought, and what to run then."""

    what: str
    line: Line


def faster_links(setting: Setting, lines: Sequence[Line]) -> Iterator[Upgrade]:
    """Of the FASTEST plans here, the fastest on better links."""
    if setting.ranks == 1 or rate_bps(setting.network) == float("inf"):
        return
    for what, (rate, latency) in LINKS.items():
        there = setting.on(scaled(setting.network, rate, latency))
        name = f"{what} ({described(setting.network, rate)})" if rate != 1 else what
        yield Upgrade(name, _fastest(there, there.network, lines[:FASTEST]))


def _fastest(setting: Setting, network: Topology, lines: Iterable[Line]) -> Line:
    clock = Clock(setting.on(network))
    each = (line(one.candidate, clock.latency(one.candidate.schedule).total_s) for one in lines)
    return min(each, key=lambda one: (one.latency_s, one.text))


def more_ranks(
    setting: Setting, lines: Sequence[Line], source: Source, budget: Budget
) -> Upgrade | None:
    """With as few more GPUs as any of the FASTEST plans can use.

    Twice as many at most; None where none can, or the network has no place for them.
    """
    texts = [one.text for one in lines[:FASTEST]]
    for ranks in range(setting.ranks + 1, 2 * setting.ranks + 1):
        try:
            there = setting.on(setting.network, ranks)
            found = search(there, plans(ranks, texts, ()), source, budget)
        except InputError:
            continue
        return Upgrade(f"{ranks} GPUs instead of {setting.ranks}", found.lines[0])
    return None
