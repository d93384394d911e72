"""How much goes from rank to rank, exchange by exchange, where experts are wanted as told."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

from simnet.schedules.expert.parcel import Parcel, Sent
from simnet.schedules.expert.placement import by_member


class Flow(NamedTuple):
    """An exchange between the ranks whose tokens it is of and those that serve them."""

    rows: list[list[int]]  # of each rank, for each that serves them
    known: list[list[int]]  # of these, those that both ends know
    half: bool  # one slot of each token alone
    parcel: Parcel

    @classmethod
    def of(
        cls, loads: list[list[int]], known: list[list[int]], *, half: bool, parcel: Parcel
    ) -> Flow:
        """Of rows for each expert's place."""
        ranks = len(loads)
        rows, of_them = ([by_member(own, ranks) for own in each] for each in (loads, known))
        return cls(rows, of_them, half, parcel)

    def sent_bytes(self, *, back: bool) -> list[int]:
        """What each rank sends others: of its own tokens, or back to those whose they are."""
        every = zip(self.rows, self.known, strict=True)
        matrix = [self.parcel.sizes(known, rows) for rows, known in every]
        for rank, own in enumerate(matrix):
            own[rank] = 0
        return [sum(own) for own in (zip(*matrix, strict=True) if back else matrix)]


def exchanges(
    served: Sequence[int], forced: Sequence[bool], halves: Sequence[bool]
) -> Iterator[tuple[Sent, ...]]:
    """By step: the exchanges whose pairs both ends know of, and as the last one this step's.

    It is of tokens of step `served`; where `forced` all begins anew.
    """
    known: tuple[Sent, ...] = ()
    for of, anew in zip(served, forced, strict=True):
        now = Sent(of, halves[of])
        known = () if anew else known
        yield (*known, now)
        known = (*known, now) if now.half else (now,)


def remembered(flows: Iterable[Flow]) -> list[int]:
    """The most pairs that each rank keeps bases of, at both ends of all flows of a layer one way.

    A whole exchange leaves its own, one of a slot alone adds those that were new.
    """
    most: list[int] = []
    there: list[list[int]] = []
    for flow in flows:
        ranks = range(len(flow.rows))
        if flow.half:
            new = [[flow.rows[i][j] - flow.known[i][j] for j in ranks] for i in ranks]
            there = [[there[i][j] + new[i][j] for j in ranks] for i in ranks]
        else:
            there = flow.rows
        kept = [sum(there[i][j] + there[j][i] for j in ranks if j != i) for i in ranks]
        most = [max(pair) for pair in zip(most, kept, strict=True)] if most else kept
    return most
