"""Which sizes are measured, and how often, so that a slow network takes seconds and not minutes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from simnet.calibration.case import Case

_LARGEST_BYTES = 16 * 2**20
_ELEMENT_BYTES = 4
_ROUND_TRIP_S = 2e-4  # of messages that weigh nothing, roughly
_STREAMED = (1, 1024, 65536)
_LATE = (1, 1024)


@dataclass(frozen=True, slots=True)
class Effort:
    """How long the largest measurement may take, and how finely the sizes are spaced."""

    longest_s: float
    spacing: int
    least: int  # repetitions
    most: int
    case_s: float  # for all repetitions of a case, as far as `least` allows
    rounds: int  # in which cases are measured that are repeated `most` times

    def repetitions(self, case: Case) -> int:
        """As many as fit."""
        fit = int(self.case_s / max(case.estimate_s, 1e-9))
        return min(self.most, max(self.least, fit))


FULL = Effort(longest_s=0.3, spacing=4, least=5, most=48, case_s=1.0, rounds=6)
QUICK = Effort(longest_s=0.12, spacing=16, least=5, most=48, case_s=0.5, rounds=6)


class Visit(NamedTuple):
    """A case, and how many of its repetitions are measured now."""

    case: Case
    repetitions: int


def visits(effort: Effort, planned: Sequence[Case]) -> list[Visit]:
    """Everything once, and the short cases again some time later, in rounds.

    What delays a message is often still there at the next one; a part of a short case's
    repetitions is likely to find the hosts at rest. Long cases wait for that anyhow.
    """
    share = effort.most // effort.rounds
    often = [case for case in planned if effort.repetitions(case) == effort.most]
    once = [Visit(case, share if case in often else effort.repetitions(case)) for case in planned]
    return [*once, *[Visit(case, share) for case in often] * (effort.rounds - 1)]


def cases(effort: Effort, world: int, bytes_per_s: float) -> list[Case]:
    """Everything to measure among so many ranks on links of about this rate.

    Each sweep goes from large to small: a token bucket is then empty, as on a busy link, and not
    full as after a rest.
    """
    return [
        *_ping(effort, bytes_per_s),
        *_stream(effort, bytes_per_s),
        *_both(effort, bytes_per_s),
        *(Case("late", (0, 1), nbytes, 1, _ROUND_TRIP_S) for nbytes in _LATE),
        *_pairs(effort, world, bytes_per_s),
        *_collectives(effort, world, bytes_per_s),
    ]


def _ping(effort: Effort, bytes_per_s: float) -> Iterator[Case]:
    for nbytes in _sizes(1, effort.longest_s * bytes_per_s, effort.spacing):
        yield Case("ping", (0, 1), nbytes, 1, _ROUND_TRIP_S + nbytes / bytes_per_s)


def _stream(effort: Effort, bytes_per_s: float) -> Iterator[Case]:
    for nbytes in reversed(_STREAMED):
        for messages in (64, 16, 4):
            estimate_s = _ROUND_TRIP_S + messages * (nbytes / bytes_per_s + 2e-5)
            if estimate_s < effort.longest_s:
                yield Case("stream", (0, 1), nbytes, messages, estimate_s)


def _both(effort: Effort, bytes_per_s: float) -> Iterator[Case]:
    for nbytes in _sizes(1024, effort.longest_s * bytes_per_s, effort.spacing):
        yield Case("both", (0, 1), nbytes, 1, _ROUND_TRIP_S + nbytes / bytes_per_s)


def _pairs(effort: Effort, world: int, bytes_per_s: float) -> Iterator[Case]:
    """The largest message between the other neighbours, to see whether all links are alike."""
    nbytes = _sizes(1, effort.longest_s * bytes_per_s, effort.spacing)[0]
    for rank in range(1, world if world > 2 else 1):
        pair = (rank, (rank + 1) % world)
        yield Case("ping", pair, nbytes, 1, _ROUND_TRIP_S + nbytes / bytes_per_s)


def _collectives(effort: Effort, world: int, bytes_per_s: float) -> Iterator[Case]:
    """Of what a member brings, so many times as much crosses each link with the best algorithm."""
    scattered = (world - 1) / world
    crossings = {
        "all_gather": world - 1,
        "all_reduce": 2 * scattered,
        "all_to_all": scattered,
        "broadcast": 1.0,
        "reduce_scatter": scattered,
    }
    for kind, times in crossings.items():
        largest = effort.longest_s * bytes_per_s / times
        for nbytes in _sizes(_ELEMENT_BYTES * world, largest, effort.spacing):
            estimate_s = world * _ROUND_TRIP_S + nbytes * times / bytes_per_s
            yield Case(kind, tuple(range(world)), nbytes, 1, estimate_s)


def _sizes(least: int, most: float, spacing: int) -> list[int]:
    """From large to small; at least two."""
    sizes = [least, least * spacing]
    while sizes[-1] * spacing <= min(most, _LARGEST_BYTES):
        sizes.append(sizes[-1] * spacing)
    return sizes[::-1]
