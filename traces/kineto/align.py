"""One time axis for ranks on several hosts: collectives end everywhere at nearly the same time."""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from traces.operation import Operation
from traces.units import format_s

#: Those that no rank can complete before all have joined.
_JOINT = ("all_gather", "all_reduce", "all_to_all", "reduce_scatter", "barrier")


class Offset(NamedTuple):
    """What to add to a host's clock, and half the range of what its collectives say."""

    seconds: float
    uncertain_s: float


def align(
    rows: Mapping[int, Sequence[Operation]], origins_s: dict[int, float], hosts: Mapping[int, str]
) -> list[str]:
    """Put every rank's origin on the clock of rank 0's host; says how well, a sentence a host.

    `rows` count from their rank's origin, which is on its own host's clock. Clocks are taken to run
    at one speed.
    """
    if len(set(hosts.values())) <= 1:
        return []
    ends = _ends(rows, origins_s)
    first = hosts[min(hosts)]
    known, problems = {first: Offset(0.0, 0.0)}, []
    while found := _next(ends, hosts, known):
        host, offset = found
        known[host] = offset
        problems.append(
            f"the clock of host {host[:80]!r} was set by the ends of common collectives, to within "
            f"{format_s(offset.uncertain_s)}"
        )
    problems += [
        f"the clock of host {host[:80]!r} could not be compared with the others'"
        for host in sorted(set(hosts.values()) - set(known))
    ]
    for rank, host in hosts.items():
        origins_s[rank] += known.get(host, Offset(0.0, 0.0)).seconds
    return problems


def apart(rows: Mapping[int, Sequence[Operation]], origins_s: Mapping[int, float]) -> list[str]:
    """A sentence where some ranks' rows all end before the next rank's begin."""
    began = sorted((origins_s[rank] + some[0].start_s, rank) for rank, some in rows.items() if some)
    problems, over_s = [], math.inf
    for start_s, rank in began:
        if start_s > over_s:
            problems.append(
                f"rank {rank} was recorded {format_s(start_s - over_s)} after those before it had "
                "ended; are the files of one run?"
            )
        last_s = max(row.start_s if math.isnan(row.end_s) else row.end_s for row in rows[rank])
        over_s = max(origins_s[rank] + last_s, -math.inf if over_s == math.inf else over_s)
    return problems


def _ends(
    rows: Mapping[int, Sequence[Operation]], origins_s: Mapping[int, float]
) -> dict[tuple[str, str, int], dict[int, float]]:
    """By communicator and number, when each rank saw the collective end on its own clock."""
    ends: dict[tuple[str, str, int], dict[int, float]] = defaultdict(dict)
    for rank, operations in rows.items():
        counts: dict[tuple[str, str], int] = defaultdict(int)
        for row in operations:
            if row.kind in _JOINT:
                line = row.stream, row.group
                ends[*line, counts[line]][rank] = origins_s[rank] + row.end_s
                counts[line] += 1
    return ends


def _next(
    ends: Mapping[tuple[str, str, int], Mapping[int, float]],
    hosts: Mapping[int, str],
    known: Mapping[str, Offset],
) -> tuple[str, Offset] | None:
    """The host with the most collectives in common with those that are known."""
    differences: dict[str, list[float]] = defaultdict(list)
    for seen in ends.values():
        sure = [end + known[hosts[r]].seconds for r, end in seen.items() if hosts[r] in known]
        for rank, end in seen.items():
            if sure and hosts[rank] not in known and not math.isnan(end):
                differences[hosts[rank]].append(statistics.median(sure) - end)
    if not differences:
        return None
    host = max(sorted(differences), key=lambda name: len(differences[name]))
    some = sorted(differences[host])
    low, high = some[len(some) // 10], some[-1 - len(some) // 10]
    return host, Offset(statistics.median(some), (high - low) / 2)
