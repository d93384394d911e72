"""Collectives as gloo carries them out: what each rank posts, in its order, and what it waits for.

Rounds of flows say what moves; these programs also say in which order a rank asks for it. That
matters where a receiver's readiness goes over the connection that data of the other direction is
on. From gloo's source, as of 2025 (gloo/allgather.cc, allreduce.cc, alltoall.cc, alltoallv.cc).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

from simnet.network.collectives.flow import Sizes


class Send(NamedTuple):
    """So many bytes to the rank at this place."""

    peer: int
    nbytes: float


class Recv(NamedTuple):
    """Room for what the rank at this place sends next."""

    peer: int


class Wait(NamedTuple):
    """Until the oldest send and the oldest receive that were not waited for are complete."""


Operation = Send | Recv | Wait

#: What the rank at a place of so many posts, where each brings so many bytes.
Program = Callable[[int, int, float], Iterator[Operation]]

_HALVES = 2  # of a part, under way at once


def all_gather(place: int, n: int, nbytes: float) -> Iterator[Operation]:
    """A ring of halves, two under way; a rank sends before it makes room."""
    after, before = (place + 1) % n, (place - 1) % n
    for number in range(_HALVES * (n - 1)):
        if number >= _HALVES:
            yield Wait()
        yield Send(after, nbytes / _HALVES)
        yield Recv(before)
    yield from [Wait()] * _HALVES


def all_reduce(place: int, n: int, nbytes: float) -> Iterator[Operation]:
    """A ring of halves that reduces and scatters, then one that gathers; room is made first.

    The second begins when all of the first is there.
    """
    after, before = (place - 1) % n, (place + 1) % n
    for _ in range(2):
        for number in range(_HALVES * (n - 1)):
            if number >= _HALVES:
                yield Wait()
            yield Recv(before)
            yield Send(after, nbytes / n / _HALVES)
        yield from [Wait()] * _HALVES


def all_to_all(place: int, n: int, nbytes: float) -> Iterator[Operation]:
    """Everything at once: to the next rank and from the one before, then two places on."""
    return all_to_all_of(place, [[nbytes / n] * n] * n)


def all_to_all_of(place: int, sizes: Sizes) -> Iterator[Operation]:
    """The same for parts that differ; also those without bytes are messages."""
    n = len(sizes)
    for distance in range(1, n):
        peer = (place + distance) % n
        yield Send(peer, sizes[place][peer])
        yield Recv((place - distance) % n)
    yield from [Wait()] * (n - 1)


#: By kind of exchange. torch's reduce-scatter on gloo is an all-reduce of a copy.
PROGRAMS: Mapping[str, Program] = {
    "all_gather": all_gather,
    "all_reduce": all_reduce,
    "all_to_all": all_to_all,
    "reduce_scatter": all_reduce,
}
