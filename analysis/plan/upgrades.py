"""What a faster network, or more GPUs, would bring: the fastest plan there, beside that of here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

from analysis.plan.curves import Curve
from analysis.plan.networks import described, rate_bps, scaled
from analysis.plan.quality import Source
from analysis.plan.search import Budget, Candidate, Line, line, search
from analysis.plan.setting import Setting
from analysis.plan.space import plans
from traces.errors import InputError

#: How many plans are tried on more GPUs.
_TRIED = 3
#: Links that are faster, by what they are called: factors of their rate and their latency.
LINKS = {"links twice as fast": (2.0, 1.0), "half the latency": (1.0, 0.5)}


class Upgrade(NamedTuple):
    """Something that could be bought, and what to run then."""

    what: str
    line: Line


def faster_links(setting: Setting, tried: Sequence[tuple[Candidate, Curve]]) -> Iterator[Upgrade]:
    """Of these plans, the fastest on better links."""
    if setting.ranks == 1 or rate_bps(setting.network) == float("inf"):
        return
    for what, (rate, latency) in LINKS.items():
        there = scaled(setting.network, rate, latency)
        name = f"{what} ({described(setting.network, rate)})" if rate != 1 else what
        each = (line(candidate, curve.on(there).total_s(1.0)) for candidate, curve in tried)
        yield Upgrade(name, min(each, key=lambda one: (one.latency_s, one.text)))


def more_ranks(
    setting: Setting, texts: Sequence[str], source: Source, budget: Budget
) -> Upgrade | None:
    """With as few more GPUs as any of the first of these plans can use.

    Twice as many at most; None where none can, or the network has no place for them.
    """
    for ranks in range(setting.ranks + 1, 2 * setting.ranks + 1):
        try:
            there = setting.on(setting.network, ranks)
            found = search(there, plans(ranks, texts[:_TRIED], ()), source, budget)
        except InputError:
            continue
        return Upgrade(f"{ranks} GPUs instead of {setting.ranks}", found.lines[0])
    return None
