"""After a live run: did ranks that sent each other parts of different sizes agree on them?

A backend takes fewer rows than were asked for without a word, and leaves the others as they were
in memory. A dry run finds that beforehand, unless the sizes depend on what is in the tensors.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from simnet.ops import Group
from traces.errors import ScheduleError


class Said(NamedTuple):
    """What one rank said of an all-to-all: how many rows are for each member, and from each."""

    group: Group
    what: str  # for errors
    sends: tuple[int, ...]
    takes: tuple[int, ...]


def check_agreement(said: Sequence[Sequence[Said]]) -> None:
    """Of every rank, what it said, in its order. Raises ScheduleError for a pair that differs."""
    exchanges: dict[tuple[Group, int], dict[int, Said]] = defaultdict(dict)
    for rank, in_order in enumerate(said):
        carried: dict[Group, int] = defaultdict(int)
        for each in in_order:
            exchanges[each.group, carried[each.group]][rank] = each
            carried[each.group] += 1
    for (group, _), by_rank in exchanges.items():
        for taker, takes in by_rank.items():
            for sender, sends in by_rank.items():
                sent = sends.sends[group.ranks.index(taker)]
                taken = takes.takes[group.ranks.index(sender)]
                if sent != taken:
                    raise ScheduleError(
                        f"rank {sender} sent {sent} rows of {sends.what} to rank {taker}, which "
                        f"took {taken} of {takes.what}: what came of it is not to be used; both "
                        "must name the same number"
                    )
